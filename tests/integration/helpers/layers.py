#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Layers that try an unpacker, and what it made of them.

layers.py random FILE FIRST COUNT    COUNT images random:SEED from random layers
layers.py cases FILE                 an image NAME:case for each special case
layers.py hostile FILE               images that try to leave their directory
layers.py unmastered FILE            an image whose large layer only containerd unpacks
layers.py compare A.tar B.tar SINCE  what two `layers.py dump`s differ in; exit code 1 if they do
layers.py dump NODE OUT.tar FILE     the directories of every snapshot of FILE's images in NODE; docker:IMAGE is one of the engine's
"""
import hashlib
import io
import json
import platform
import random
import subprocess
import sys
import tarfile

OCI = "application/vnd.oci.image."
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layer:
    def __init__(self):
        self.out = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, data=b"", mode=0o644, uid=0, gid=0, mtime=1500000000, link="", dev=(0, 0), xattrs=()):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid, info.mtime, info.linkname = kind, mode, uid, gid, mtime, link
        info.devmajor, info.devminor = dev
        info.size = len(data)
        info.pax_headers = {"SCHILY.xattr." + k: v for k, v in xattrs}
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def dir(self, name, mode=0o755, **more):
        return self.add(name, tarfile.DIRTYPE, mode=mode, **more)

    def sym(self, name, to, **more):
        return self.add(name, tarfile.SYMTYPE, link=to, mode=0o777, **more)

    def hard(self, name, to, **more):
        return self.add(name, tarfile.LNKTYPE, link=to, **more)

    def gone(self, name, **more):
        head, _, tail = name.rpartition("/")
        return self.add((head + "/" if head else "") + ".wh." + tail, **more)

    def opaque(self, name):
        return self.add(name + "/.wh..wh..opq")

    def bytes(self):
        self.tar.close()
        return self.out.getvalue()


def write_images(path, images):
    """[(name, [layer bytes])] as an OCI layout."""
    blobs, entries = {}, []

    def add(data, kind):
        blobs["blobs/sha256/" + digest(data)[7:]] = data
        return {"mediaType": OCI + kind, "digest": digest(data), "size": len(data)}
    for name, layers in images:
        config = add(json.dumps({"architecture": ARCH, "os": "linux", "config": {"Labels": {"n": name}}, "rootfs": {
            "type": "layers", "diff_ids": [digest(x) for x in layers]}}).encode(), "config.v1+json")
        entry = add(json.dumps({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": config,
                                "layers": [add(x, "layer.v1.tar") for x in layers]}).encode(), "manifest.v1+json")
        entry["annotations"] = {"io.containerd.image.name": "docker.io/library/" + name}
        entries.append(entry)
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    with tarfile.open(path, "w") as tar:
        for name, data in blobs.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def chain_of(diff_ids):
    chain = None
    for diff in diff_ids:
        chain = digest(f"{chain} {diff}".encode()) if chain else diff
    return chain


def chains(path):
    """The chain ID of each image in @path, by name."""
    found = {}
    if path.startswith("docker:"):
        layers = subprocess.run(["docker", "image", "inspect", "-f", "{{json .RootFS.Layers}}", path[7:]], stdout=subprocess.PIPE, check=True).stdout
        return {path[7:]: chain_of(json.loads(layers))}
    with tarfile.open(path) as tar:
        read = lambda d: json.load(tar.extractfile("blobs/sha256/" + d[7:]))
        for entry in json.load(tar.extractfile("index.json"))["manifests"]:
            config = read(read(entry["digest"])["config"]["digest"])
            found[entry["annotations"]["io.containerd.image.name"]] = chain_of(config["rootfs"]["diff_ids"])
    return found


# ---- random stacks ----

class Stack:
    """Random layers that containerd itself accepts."""
    NAMES = ["a", "b", "c", "usr", "lib", "x y", "\u00e4", "z" * 120]

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.below = {}
        # what was ever something else than a directory: containerd stumbles over it
        # when it looks for what is in it
        self.other = set()

    def meta(self):
        r = self.rng
        return {"uid": r.choice([0, 0, 7, 70000]), "gid": r.choice([0, 5, 3000000]),
                "mtime": r.choice([1, 1500000000, 1500000000.25, 1600000000])}

    def xattrs(self):
        r = self.rng
        return [(k, "v%d" % r.randrange(9)) for k in ("user.one", "user.two", "trusted.overlay.redirect", "odd.one") if r.random() < 0.05]

    def leads_to(self, name, made):
        """Is all above @name a directory, here or always?"""
        above = [name[:i] for i, c in enumerate(name) if c == "/" and i]
        return all(made[n] == "d" if n in made else not self.other.intersection(above[:i + 1]) for i, n in enumerate(above))

    def new_name(self, made):
        r = self.rng
        dirs = [""] + [n for n, k in made.items() if k == "d"] + [n for n, k in self.below.items() if k == "d"]
        parent = r.choice(dirs)
        if r.random() < 0.2:
            parent = (parent + "/" if parent else "") + r.choice(self.NAMES)
        if not self.leads_to(parent + "/", made):
            parent = ""
        return (parent + "/" if parent else "") + r.choice(self.NAMES)

    def imply(self, made, name):
        parts = name.split("/")[:-1]
        for i in range(len(parts)):
            made.setdefault("/".join(parts[:i + 1]), "d")

    def entry(self, layer, made):
        r = self.rng
        name, what, meta = self.new_name(made), r.random(), self.meta()
        there = made.get(name)
        if what < 0.3:
            if there not in (None, "f"):
                return
            made[name] = "f"
            layer.add(r.choice(["", "./", "/"]) + name, data=r.randbytes(r.choice([0, 1, 511, 5000])),
                      mode=r.choice([0o644, 0o4755, 0o600, 0]), xattrs=self.xattrs(), **meta)
        elif what < 0.55:
            if there not in (None, "d", "f"):
                return
            made[name] = "d"
            layer.dir(name + r.choice(["", "/"]), mode=r.choice([0o755, 0o1777, 0o500, 0o2750]), **meta)
        elif what < 0.65 and not there:
            made[name] = "l"
            layer.sym(name, r.choice(["a", "/usr", "../b", "nowhere", "/etc/passwd"]), **meta)
        elif what < 0.75 and not there:
            files = [n for n, k in made.items() if k == "f" and n in self.last]
            if not files:
                return
            target = r.choice(files)
            made[name] = "h"
            layer.hard(name, target, **self.last[target])
            self.imply(made, name)
            return
        elif what < 0.9 and not there and self.below:
            victims = [n for n in self.below if n not in made and self.leads_to(n, made)]
            if not victims:
                return
            name = r.choice(victims)
            made[name] = "w"
            layer.gone(name, uid=meta["uid"])
        elif what < 0.95 and self.below:
            dirs = [n for n, k in list(self.below.items()) + list(made.items()) if k == "d" and self.leads_to(n + "/", made)]
            if dirs:
                name = r.choice(dirs)
                made.setdefault(name, "d")
                layer.opaque(name)
        elif not there:
            made[name] = "c"
            layer.add(name, r.choice([tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]), dev=(1, 3), **meta)
        self.imply(made, name)

    def layer(self):
        layer, made, self.last = Layer(), {}, {}
        add = layer.add

        def remember(name, kind=tarfile.REGTYPE, **more):
            clean = name.lstrip("./")
            if kind == tarfile.REGTYPE and not clean.split("/")[-1].startswith(".wh."):
                self.last[clean] = {k: more[k] for k in ("mode", "uid", "gid", "mtime", "xattrs") if k in more}
            return add(name, kind, **more)
        layer.add = remember
        for _ in range(self.rng.randrange(1, 25)):
            self.entry(layer, made)
        for name, kind in made.items():
            if kind != "d":
                self.other.add(name)
            if kind == "w":
                for old in [n for n in self.below if n == name or n.startswith(name + "/")]:
                    del self.below[old]
            else:
                self.below[name] = kind
        return layer.bytes()


def random_images(first, count):
    for seed in range(first, first + count):
        stack = Stack(seed)
        yield f"random:{seed}", [stack.layer() for _ in range(stack.rng.randrange(1, 5))]


# ---- special cases ----

def base():
    layer = Layer()
    layer.dir("etc").add("etc/passwd", data=b"root\n").dir("d", uid=3, gid=4, mode=0o711, xattrs=[("user.d", "1")])
    layer.dir("d/e", mode=0o1700, uid=9).add("d/e/f", data=b"1").add("d/g", data=b"2").dir("var").dir("run", mode=0o2755, gid=8)
    return layer.sym("var/run", "/run").sym("up", "../../..").bytes()


def cases():
    L = Layer
    many = [L().add(f"f{i}", data=b"%d" % i).bytes() for i in range(100)]
    yield "whiteout", [base(), L().gone("d/g", uid=5).gone("etc").bytes()]
    yield "opaque-after", [base(), L().dir("d", mode=0o700).opaque("d").add("d/n").bytes()]
    yield "opaque-before", [base(), L().opaque("d/e").dir("d/e", mode=0o700).add("d/e/n").bytes()]
    yield "opaque-alone", [base(), L().opaque("d/e").add("x").bytes()]
    yield "opaque-root", [base(), L().add(".wh..wh..opq").add("x").bytes()]
    yield "whiteout-first", [L().gone("nothing").gone("p/q").add("x").bytes()]
    yield "whiteout-then-file", [base(), L().gone("d").add("d", data=b"now a file").bytes()]
    yield "whiteout-then-dir", [base(), L().gone("d").dir("d").add("d/x").bytes()]
    yield "char-00", [base(), L().add("d/g", tarfile.CHRTYPE, mode=0).bytes()]
    yield "parents", [base(), L().add("d/e/new/x").add("p/q/r").bytes()]
    yield "parents-of-three", [base(), L().dir("d", mode=0o750, uid=1).bytes(), L().gone("d/e").bytes(), L().add("d/e/x").bytes()]
    yield "parent-link-below", [base(), L().add("var/run/x").add("up/y").bytes()]
    yield "parent-then-entry", [base(), L().add("d/e/x").dir("d/e", mode=0o777).bytes()]
    yield "hard-links", [L().add("f", data=b"x", mode=0o640, uid=4).hard("g", "f", mode=0o640, uid=4).sym("s", "f").hard("t", "s").bytes()]
    yield "hard-link-other-meta", [L().add("f", data=b"x").hard("g", "f", mode=0o600, uid=5).bytes()]
    yield "through-link", [L().dir("r").sym("l", "r").add("l/x").sym("abs", "/r").add("abs/y").sym("out", "../../../tmp").add("out/z").bytes()]
    yield "names", [L().add("./a").add("/b").add("../../c").add("x/../d").add("n" * 250).add("/".join(["k" * 90] * 6)).bytes()]
    yield "root-entry", [L().dir("./", mode=0o700, uid=77).add("x").bytes()]
    yield "repeated", [L().add("f", data=b"1").add("f", data=b"22", mode=0o600).dir("d").dir("d", mode=0o700).add("g").dir("g").bytes()]
    yield "dir-to-file", [L().dir("d").add("d/x").add("d", data=b"f").bytes()]
    yield "link-to-file", [L().sym("l", "x").add("l", data=b"f").bytes()]
    yield "devices", [L().add("n", tarfile.CHRTYPE, dev=(1, 3), mode=0o666).add("b", tarfile.BLKTYPE, dev=(8, 1), gid=6).add("p", tarfile.FIFOTYPE).bytes()]
    yield "modes", [L().add("s", mode=0o6755, uid=3).add("z", mode=0).dir("t", mode=0o3777).dir("ro", mode=0o555).add("ro/x", data=b"1").bytes()]
    cap = "\x01\x00\x00\x02\x00\x20\x00\x00" + "\x00" * 12
    yield "attributes", [L().add("u", xattrs=[("user.a", "1"), ("trusted.t", "1"), ("odd.o", "1"), ("user.overlay.opaque", "y")])
                         .dir("d", xattrs=[("user.d", "2"), ("trusted.overlay.opaque", "y")]).add("c", xattrs=[("security.capability", cap)]).bytes()]
    yield "owners", [L().add("f", uid=4294967294, gid=2147483647).dir("d", uid=70000).bytes()]
    yield "times", [L().add("a", mtime=0).add("b", mtime=1.123456789).add("c", mtime=4102444800).dir("d", mtime=5).add("d/late").bytes()]
    yield "names-not-text", [L().add("\udcff\udcfe").add("\u20ac").sym("s", "\udc80").bytes()]
    yield "empty", [base(), L().bytes(), L().add("x").bytes()]
    yield "twice", [many[0], base(), many[0], many[1], many[0]]
    yield "hundred", many
    yield "large", [base(), L().add("big", data=random.Random(1).randbytes(9 << 20)).bytes(), L().gone("big").add("x").bytes()]


def hostile():
    L = Layer
    for i, to in enumerate(["/etc", "/root", "../../../../../../../etc", "/", "/proc/self/root/etc"]):
        yield f"link-{i}", [L().sym("l", to).add("l/sidelift-was-here", data=b"!").dir("l/sidelift-dir").gone("l/hostname").bytes()]
        yield f"below-{i}", [L().sym("l", to).bytes(), L().add("l/sidelift-was-here", data=b"!").opaque("l").bytes()]
    yield "dots", [L().add("../../../../../../../../../etc/sidelift-was-here").add("/etc/sidelift-was-here").gone("../../../../etc/hostname").bytes()]
    yield "redirect", [base(), L().dir("d", xattrs=[("trusted.overlay.redirect", "/etc"), ("trusted.overlay.opaque", "y")]).bytes()]
    yield "marker", [L().add(".sidelift-s").add(".sidelift").bytes()]
    yield "options", [L().add("--checkpoint=1").add("--checkpoint-action=exec=touch /etc/sidelift-was-here").dir("-x").add("a b;touch /etc/sidelift-was-here")
                      .add("$(touch /etc/sidelift-was-here)/x/y").add("-rf/`touch /etc/sidelift-was-here`/y").bytes()]
    yield "options-below", [base(), L().add("$(touch /etc/sidelift-was-here)/x/y").add("-rf/--to-command=sh/y").add("*/?/y").bytes()]


def unmastered():
    big = random.Random(2).randbytes(5 << 20)
    yield "odd", [base(), Layer().add("big", data=big).dir("d").add("d", data=b"now a file").bytes()]


# ---- what came out ----

DUMP = r"""
rm -rf /tmp/layers-dump; mkdir /tmp/layers-dump
while read -r name chain; do
	mounts=$(ctr -n k8s.io snapshots prepare -t /x layers-dump "$chain") || exit
	i=0
	for dir in $(echo "$mounts" | sed -n 's/.*[ ,]lowerdir=\([^, ]*\).*/\1/p' | tr : ' '); do
		tar --format=pax --sort=name --numeric-owner --xattrs --xattrs-include='*' -C "$dir" -cf "/tmp/layers-dump/$name-$i.tar" . || exit
		i=$((i + 1))
	done
	ctr -n k8s.io snapshots rm layers-dump
done
tar -C /tmp/layers-dump -c .
rm -rf /tmp/layers-dump
"""


def dump(node, out, path):
    names = "".join("%s %s\n" % (n.rpartition("/")[2], c) for n, c in chains(path).items())
    with open(out, "wb") as f:
        subprocess.run(["docker", "exec", "-i", node, "sh", "-c", DUMP], input=names.encode(), stdout=f, check=True)


def read_tree(data):
    tree = {}
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as tar:
        for m in tar:
            pax = {k: v for k, v in m.pax_headers.items() if k.startswith("SCHILY.xattr.")}
            content = hashlib.sha256(tar.extractfile(m).read()).hexdigest() if m.isreg() else ""
            tree[m.name] = {"type": m.type, "mode": m.mode, "owner": (m.uid, m.gid), "size": m.size, "mtime": m.pax_headers.get("mtime", m.mtime),
                            "link": m.linkname, "device": (m.devmajor, m.devminor) if m.isdev() else None, "attributes": pax, "content": content}
    return tree


def differences(a, b, since):
    for name in sorted(set(a) | set(b)):
        if name not in a or name not in b:
            yield f"{name}: only in {'the first' if name in a else 'the second'}"
            continue
        for key in a[name]:
            if a[name][key] == b[name][key]:
                continue
            # what was made on the way has the time of its making: whiteouts, parents
            if key == "mtime" and max(float(a[name][key]), float(b[name][key])) >= since and a[name]["type"] in (tarfile.DIRTYPE, tarfile.CHRTYPE):
                continue
            yield f"{name}: {key} {a[name][key]!r} and {b[name][key]!r}"


def compare(one, other, since):
    bad = trees = 0
    with tarfile.open(one) as a, tarfile.open(other) as b:
        names = sorted(m.name for m in a if m.isfile())
        if names != sorted(m.name for m in b if m.isfile()):
            print("not the same snapshots")
            return 1
        for name in names:
            trees += 1
            for line in differences(read_tree(a.extractfile(name).read()), read_tree(b.extractfile(name).read()), since):
                print(f"{name}: {line}")
                bad = 1
    print(f"{trees} directories compared")
    return bad or trees == 0


def main(what, *args):
    if what == "random":
        write_images(args[0], random_images(int(args[1]), int(args[2])))
    elif what == "cases":
        write_images(args[0], [(f"case-{name}:case", layers) for name, layers in cases()])
    elif what in ("hostile", "unmastered"):
        write_images(args[0], [(f"{what}-{name}:dev", layers) for name, layers in globals()[what]()])
    elif what == "dump":
        dump(*args)
    elif what == "compare":
        return compare(args[0], args[1], float(args[2]))
    return 0


sys.exit(main(*sys.argv[1:]))
