# SPDX-License-Identifier: Apache-2.0
"""What is compared: sidelift, the real kind, a local registry, a pipe; and images to
load.  Every command is timed as a whole, from outside."""
import hashlib
import io
import json
import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time

CLUSTER = "bench"
NODES = [f"{CLUSTER}-control-plane", f"{CLUSTER}-worker", f"{CLUSTER}-worker2"]
SIDELIFT = os.path.abspath("build/release/sidelift")
KIND = os.path.abspath("tests/bed/kind.sh")
WORK = tempfile.mkdtemp(prefix="sidelift-bench-")
LABEL = "dev.sidelift.bench" # also in run.sh
OCI = "application/vnd.oci.image."


def sh(*argv, **kw):
    proc = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    if proc.returncode:
        raise SystemExit(f"{argv} failed:\n{proc.stderr}{proc.stdout}")
    return proc.stdout


def node_sh(node, script):
    return sh("docker", "exec", node, "sh", "-c", script)


def build_words(tag, directory):
    return ["docker", "build", "-q", "--label", LABEL, "-t", tag, directory]


class Engine:
    """One that builds; who loads from it is `user`."""

    def __init__(self, name, address=None, user=None):
        self.name, self.address, self.user = name, address, user
        self.env = dict(os.environ, DOCKER_BUILDKIT="0", XDG_STATE_HOME=f"{WORK}/state-{user or 0}")
        if address:
            self.env.update(DOCKER_HOST=address, BED_BUILD_ENGINE=address)
        self.prefix = []
        if user:
            group = os.stat("/var/run/docker.sock").st_gid
            os.makedirs(self.env["XDG_STATE_HOME"], exist_ok=True)
            os.chown(self.env["XDG_STATE_HOME"], user, user)
            os.chmod(WORK, 0o755)
            kubeconfig = f"{WORK}/kubeconfig"
            shutil.copy(os.environ["KUBECONFIG"], kubeconfig)
            os.chmod(kubeconfig, 0o644)
            self.env["KUBECONFIG"] = kubeconfig
            self.prefix = ["setpriv", "--reuid", str(user), "--regid", str(user), "--groups", str(group)]

    def docker(self, *argv):
        return sh("docker", *argv, env=self.env)

    def build(self, tag, directory):
        sh(*build_words(tag, directory), env=self.env)

    def forget(self, *tags):
        """And what the builds before them left without a name."""
        self.docker("rmi", "-f", *tags)
        self.docker("image", "prune", "-f", "--filter", "label=" + LABEL)


def timed(argv, env):
    """Seconds, peak memory in KiB, what it printed."""
    start = time.monotonic()
    proc = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    out = proc.stdout.read().decode()
    _, status, usage = os.wait4(proc.pid, 0)
    seconds = time.monotonic() - start
    proc.returncode = os.waitstatus_to_exitcode(status)
    if proc.returncode:
        raise SystemExit(f"{argv} failed:\n{out}")
    return seconds, usage.ru_maxrss, out


# ---- the peers: (engine, tag, nodes) to a command ----

def sidelift(engine, tag, nodes):
    tags = tag if isinstance(tag, list) else [tag]
    return engine.prefix + [SIDELIFT, "load", "-q", "-o", "json"] + tags + [w for n in nodes for w in ("--node", n)]


def kind(engine, tag, nodes):
    # its nodes are the default engine's; BED_BUILD_ENGINE says whose the images are
    return ["env", "-u", "DOCKER_HOST", KIND, "load", "docker-image", tag, "--name", CLUSTER, "--nodes", ",".join(nodes)]


def kind_one_by_one(engine, tags, nodes):
    return ["env", "-u", "DOCKER_HOST", "bash", "-c", "set -e; for t in $3; do \"$0\" load docker-image $t --name \"$1\" --nodes \"$2\"; done", KIND, CLUSTER,
            ",".join(nodes), " ".join(tags)]


def pipe(engine, tag, nodes):
    return ["bash", "-c", "set -e -o pipefail; for n in $1; do docker save $0 | env -u DOCKER_HOST docker exec -i $n ctr -n k8s.io images import -; done",
            tag, " ".join(nodes)]


class Registry:
    """Debian's docker-registry on this machine; the nodes pull from it."""

    def __init__(self):
        self.port = 5599
        self.gateway = sh("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", NODES[0]).strip()
        config = f"{WORK}/registry.yml"
        with open(config, "w") as f:
            f.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {WORK}/registry}}}}\nhttp: {{addr: ':{self.port}'}}\n")
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def command(self, engine, tag, nodes):
        script = ("set -e; docker tag $0 127.0.0.1:$1/$0; docker push -q 127.0.0.1:$1/$0; pulls=; "
                  "for n in $3; do env -u DOCKER_HOST docker exec $n ctr -n k8s.io images pull --plain-http $2:$1/$0 & pulls=\"$pulls $!\"; done; "
                  "for p in $pulls; do wait $p; done")
        return ["bash", "-c", script, tag, str(self.port), self.gateway, " ".join(nodes)]

    def stop(self):
        self.process.kill()
        self.process.wait()


def ready_archive(engine, tag, path):
    """What a node lacks of @tag when only the top layer is new, as an OCI layout
    ready for `ctr images import`: the least that has to be done."""
    def digest(data):
        return "sha256:" + hashlib.sha256(data).hexdigest()
    with tempfile.NamedTemporaryFile(dir=WORK) as saved:
        engine.docker("save", "-o", saved.name, tag)
        with tarfile.open(saved.name) as tar:
            entry = json.load(tar.extractfile("manifest.json"))[0]
            config = tar.extractfile(entry["Config"]).read()
            diff_ids = json.loads(config)["rootfs"]["diff_ids"]
            sizes = [tar.getmember(name).size for name in entry["Layers"]]
            top = tar.extractfile(entry["Layers"][-1]).read()
    packed = top[:2] == b"\x1f\x8b"
    layers = [{"mediaType": OCI + "layer.v1.tar", "digest": d, "size": n} for d, n in zip(diff_ids, sizes)]
    layers[-1] = {"mediaType": OCI + "layer.v1.tar" + ("+gzip" if packed else ""), "digest": digest(top), "size": len(top)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                           "config": {"mediaType": OCI + "config.v1+json", "digest": digest(config), "size": len(config)},
                           "layers": layers}).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [{
        "mediaType": OCI + "manifest.v1+json", "digest": digest(manifest), "size": len(manifest),
        "annotations": {"io.containerd.image.name": "docker.io/library/" + tag}}]}).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in (("blobs/sha256/" + digest(top)[7:], top), ("blobs/sha256/" + digest(config)[7:], config),
                           ("blobs/sha256/" + digest(manifest)[7:], manifest), ("index.json", index),
                           ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def floor(archive):
    return lambda engine, tag, nodes: ["bash", "-c", "env -u DOCKER_HOST docker exec -i $0 ctr -n k8s.io images import - <$1", nodes[0], archive]


# ---- images ----

class Image:
    """@mb megabytes in three layers of @files files, and 1 MB on top that changes.  It is
    built from @directory, on those three, so that a change writes 1 MB and no more."""

    def __init__(self, tag, mb, files):
        name = tag.removesuffix(":dev")
        self.tag, self.directory = tag, f"{WORK}/{name}"
        self.base, self.below, self.engines = f"{name}-below:dev", f"{WORK}/{name}-below", {}
        for d, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
            self.layer(d, int(mb * share * 1e6), max(1, int(files * share)))
        with open(f"{self.below}/Dockerfile", "w") as f:
            f.write("FROM scratch\nCOPY a /a/\nCOPY b /b/\nCOPY c /c/\n")
        os.makedirs(self.directory)
        with open(f"{self.directory}/Dockerfile", "w") as f:
            f.write(f"FROM {self.base}\nCOPY top /top\n")
        self.change()

    def layer(self, name, size, files):
        # half of each file can be packed
        for i in range(files):
            path = f"{self.below}/{name}/{i // 100}"
            os.makedirs(path, exist_ok=True)
            with open(f"{path}/{i}", "wb") as f:
                left = size // files
                while left > 0:
                    piece = os.urandom(min(left, 16000) // 2 + 1)
                    f.write((piece + piece)[:left])
                    left -= 2 * len(piece)

    def change(self):
        with open(f"{self.directory}/top", "wb") as f:
            f.write(os.urandom(1000000))

    def build(self, engine):
        if engine.address not in self.engines:
            self.engines[engine.address] = engine
            engine.build(self.base, self.below)
        engine.build(self.tag, self.directory)

    def leave(self, engine):
        self.engines.pop(engine.address).forget(self.tag, self.base)

    def remove(self):
        for engine in list(self.engines.values()):
            self.leave(engine)
        shutil.rmtree(self.directory)
        shutil.rmtree(self.below)


def wipe(nodes=None):
    for node in nodes or NODES:
        node_sh(node, "names=$(ctr -n k8s.io images ls -q); [ -z \"$names\" ] || ctr -n k8s.io images rm --sync $names >/dev/null; sync")


def disk(node):
    """Megabytes of the node's containerd."""
    return int(node_sh(node, "sync; du -s --block-size=1000000 /var/lib/containerd | cut -f1"))


def median(values):
    return statistics.median(values)
