#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times sidelift and the real kind on the nodes of the cluster `bench`.

Each case is run for both, in turn; quoted are medians and their ratio.  The
figures of a run belong together; single ones say little on a shared machine.
"""
import hashlib
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time

NODES = ["bench-control-plane", "bench-worker", "bench-worker2"]
SIDELIFT = os.path.abspath("build/release/sidelift")
KIND = os.path.abspath("tests/bed/kind.sh")
LARGE_MB = int(os.environ.get("BENCH_MB", "1500"))
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
WORK = tempfile.mkdtemp(prefix="sidelift-bench-")


def sh(*argv, **kw):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw).stdout


def timed(argv):
    start = time.monotonic()
    proc = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = proc.stdout.read()
    _, status, usage = os.wait4(proc.pid, 0)
    proc.returncode = os.waitstatus_to_exitcode(status)
    if proc.returncode:
        raise SystemExit(f"{argv} failed:\n{out.decode()}")
    return time.monotonic() - start, usage.ru_maxrss


def layer(path, mb, files):
    os.makedirs(path, exist_ok=True)
    size = max(1, mb * 1000000 // files)
    for i in range(files):
        with open(f"{path}/{i}", "wb") as f:
            f.write(os.urandom(size))


def build(tag, directory, dirs):
    with open(f"{directory}/Dockerfile", "w") as f:
        f.write("FROM scratch\n" + "".join(f"COPY {d} /{d}/\n" for d in dirs))
    env = dict(os.environ, DOCKER_BUILDKIT="0")
    sh("docker", "build", "-q", "-t", tag, directory, env=env)


def touch_top(tag, directory, dirs, mb):
    shutil.rmtree(f"{directory}/{dirs[-1]}")
    layer(f"{directory}/{dirs[-1]}", mb, 10)
    build(tag, directory, dirs)


def wipe(nodes):
    for node in nodes:
        sh("docker", "exec", node, "sh", "-c",
           "names=$(ctr -n k8s.io images ls -q); [ -z \"$names\" ] || ctr -n k8s.io images rm --sync $names >/dev/null; sync")


def command(tool, tag, nodes):
    if tool == "kind":
        return [KIND, "load", "docker-image", tag, "--name", "bench", "--nodes", ",".join(nodes)]
    return [SIDELIFT, "load", "-q", tag] + [w for n in nodes for w in ("--node", n)]


def case(name, nodes, runs, tag, before):
    """Both tools, run by run in turn; before(tool) prepares."""
    times = {"sidelift": [], "kind": []}
    memory = 0
    for _ in range(runs):
        for tool in ("kind", "sidelift"):
            before(tool)
            seconds, rss = timed(command(tool, tag, nodes))
            times[tool].append(seconds)
            if tool == "sidelift":
                memory = max(memory, rss)
    ours, theirs = (statistics.median(times[t]) for t in ("sidelift", "kind"))
    row = {"case": name, "nodes": len(nodes), "runs": runs, "sidelift_s": round(ours, 3), "kind_s": round(theirs, 3),
           "ratio": round(theirs / ours, 2), "peak_rss_mib": round(memory / 1024, 1), "all": times}
    print(f"{name:34} {len(nodes)} node(s)  sidelift {ours:7.2f} s   kind {theirs:7.2f} s   {theirs / ours:6.1f} x", flush=True)
    return row


def partial_archive(tag, path):
    """What a node lacks of @tag when only the top layer is new, as an OCI layout
    ready for `ctr images import`."""
    def digest(data):
        return "sha256:" + hashlib.sha256(data).hexdigest()
    with tempfile.NamedTemporaryFile(dir=WORK) as saved:
        sh("docker", "save", "-o", saved.name, tag)
        with tarfile.open(saved.name) as tar:
            entry = json.load(tar.extractfile("manifest.json"))[0]
            config = tar.extractfile(entry["Config"]).read()
            diff_ids = json.loads(config)["rootfs"]["diff_ids"]
            sizes = [tar.getmember(name).size for name in entry["Layers"]]
            top = tar.extractfile(entry["Layers"][-1]).read()
    kind = "application/vnd.oci.image."
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                           "config": {"mediaType": kind + "config.v1+json", "digest": digest(config), "size": len(config)},
                           "layers": [{"mediaType": kind + "layer.v1.tar", "digest": d, "size": n} for d, n in zip(diff_ids, sizes)]}).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [{
        "mediaType": kind + "manifest.v1+json", "digest": digest(manifest), "size": len(manifest),
        "annotations": {"io.containerd.image.name": "docker.io/library/" + tag}}]}).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in (("blobs/sha256/" + diff_ids[-1][7:], top), ("blobs/sha256/" + digest(config)[7:], config),
                           ("blobs/sha256/" + digest(manifest)[7:], manifest), ("index.json", index),
                           ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def import_step(tag, directory, dirs):
    """The step into one node alone, against a ready partial archive."""
    ours, floor = [], []
    for _ in range(RUNS):
        touch_top(tag, directory, dirs, 1)
        partial_archive(tag, f"{WORK}/partial.tar")
        with open(f"{WORK}/partial.tar", "rb") as f:
            start = time.monotonic()
            subprocess.run(["docker", "exec", "-i", NODES[0], "ctr", "-n", "k8s.io", "images", "import", "-"], stdin=f, check=True,
                           stdout=subprocess.DEVNULL)
            floor.append(time.monotonic() - start)
        touch_top(tag, directory, dirs, 1)
        result = json.loads(sh(SIDELIFT, "load", "-q", "-o", "json", "--node", NODES[0], tag))
        ours.append(result["nodes"][0]["importSeconds"])
    a, b = statistics.median(ours), statistics.median(floor)
    print(f"import step, 1 MB layer: sidelift {a:.3f} s, docker exec -i … ctr images import {b:.3f} s, {a / b:.2f} x", flush=True)
    return {"case": "import step, 1 MB layer", "sidelift_s": round(a, 3), "floor_s": round(b, 3), "times_floor": round(a / b, 2),
            "all": {"sidelift": ours, "floor": floor}}


def main():
    rows = []
    small, large = f"{WORK}/small", f"{WORK}/large"
    dirs = ["a", "b", "c", "top"]
    layer(f"{small}/a", 5, 20), layer(f"{small}/top", 1, 10)
    for d, share in zip(dirs, (0.6, 0.3, 0.1)):
        layer(f"{large}/{d}", int(LARGE_MB * share), 6000)
    layer(f"{large}/top", 1, 10)
    build("bench-small:dev", small, ["a", "top"])
    build("bench-large:dev", large, dirs)
    wipe(NODES)
    sh(SIDELIFT, "load", "bench-small:dev")
    step = import_step("bench-small:dev", small, ["a", "top"])
    for nodes in (NODES[:1], NODES):
        def fresh(tool):
            wipe(nodes)
        rows.append(case("6 MB image, first load", nodes, RUNS, "bench-small:dev", fresh))
        rows.append(case("6 MB image, 1 MB layer changed", nodes, RUNS, "bench-small:dev",
                         lambda tool: touch_top("bench-small:dev", small, ["a", "top"], 1)))
        rows.append(case("6 MB image, nothing changed", nodes, RUNS, "bench-small:dev", lambda tool: None))
        rows.append(case(f"{LARGE_MB} MB image, first load", nodes, 1, "bench-large:dev", fresh))
        rows.append(case(f"{LARGE_MB} MB image, 1 MB layer changed", nodes, 1, "bench-large:dev",
                         lambda tool: touch_top("bench-large:dev", large, dirs, 1)))
        rows.append(case(f"{LARGE_MB} MB image, nothing changed", nodes, RUNS, "bench-large:dev", lambda tool: None))
        wipe(nodes)
    result = {"version": 1, "date": time.strftime("%Y-%m-%d"), "machine": f"{os.cpu_count()} cores, {platform.release()}",
              "docker": sh("docker", "version", "-f", "{{.Server.Version}}").strip(), "kind": sh(KIND, "--version").strip(),
              "containerd": sh("docker", "exec", NODES[0], "ctr", "--version").split()[-1], "import_step": step, "rows": rows}
    with open("build/bench.json", "w") as f:
        json.dump(result, f, indent=1)
    with open("build/bench.md", "w") as f:
        f.write("| case | nodes | sidelift | kind load | |\n| --- | --- | --- | --- | --- |\n")
        for r in rows:
            f.write(f"| {r['case']} | {r['nodes']} | {r['sidelift_s']:.2f} s | {r['kind_s']:.2f} s | {r['ratio']:.1f} x |\n")
        f.write(f"\nThe step into a node alone, 1 MB layer: {step['sidelift_s']:.2f} s; `docker exec -i NODE ctr images import -` of a ready "
                f"partial archive {step['floor_s']:.2f} s ({step['times_floor']:.2f} x).\n")
        f.write(f"\n{result['date']}, {result['machine']}, docker {result['docker']}, {result['kind']}, containerd {result['containerd']}\n")
    sh("docker", "rmi", "-f", "bench-small:dev", "bench-large:dev")


try:
    main()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
