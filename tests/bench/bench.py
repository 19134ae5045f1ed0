#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times sidelift against its peers on the nodes of the cluster `bench`: every case
is run for all of them, in turn; quoted are medians.  The figures of a run belong
together; single ones say little on a shared machine.

Environment: BENCH_MB (1500), BENCH_RUNS (3), BENCH_GROWTH (100,500,1500,5000, in MB;
empty: none), BENCH_PARTS (root,loop,growth,store,graph,newest: which, in which order),
BENCH_STORE and BENCH_GRAPH (addresses of docker 28), BENCH_NEWEST (of docker 29),
BENCH_ADD (not empty: add to the rows that build/bench.json has)."""
import hashlib
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import loop
import peers
import plot
from peers import NODES, WORK, Engine, Image, disk, floor, kind, median, node_sh, pipe, sh, sidelift, timed, wipe

MB = int(os.environ.get("BENCH_MB", "1500"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
PARTS = os.environ.get("BENCH_PARTS", "root,loop,growth,store,graph,newest").split(",")
GROWTH = [int(x) for x in os.environ.get("BENCH_GROWTH", "100,500,1500,5000").split(",") if x]
FILES = 20000 * MB // 1500
ROWS = []


def said(out):
    return json.loads(out[out.index("{"):]) if "{" in out else None


def case(name, engine, nodes, tag, commands, before, runs=RUNS, note=None, after=None):
    """commands: {peer: command(engine, tag, nodes)}; before(peer) prepares, after(peer)
    looks.  A peer that takes more than 5 s is run once."""
    times, memory, results = {p: [] for p in commands}, 0, []
    for _ in range(runs):
        for peer, command in commands.items():
            if times[peer] and times[peer][0] > 5:
                continue
            before(peer)
            os.sync() # what a build has left to write is not the load's
            took, rss, out = timed(command(engine, tag, nodes), engine.env)
            times[peer].append(took)
            if peer == "sidelift":
                memory = max(memory, rss)
                results.append(said(out))
            if after:
                after(peer)
    row = {"case": name, "engine": engine.name, "nodes": len(nodes), "seconds": {p: round(median(t), 3) for p, t in times.items()},
           "all": times, "peak_rss_mib": round(memory / 1024, 1), "layers_sent": [n["layersSent"] for n in results[-1]["nodes"]],
           "bytes_sent": [n["bytesSent"] for n in results[-1]["nodes"]], "exporter": results[-1].get("exporter")}
    row["note"] = note(row) if note else None
    ROWS.append(row)
    print(f"{name:40} {engine.name:24} {len(nodes)} node(s)  " + "  ".join(f"{p} {t:.2f} s" for p, t in row["seconds"].items()) +
          f"  {row['peak_rss_mib']} MiB  {row['exporter'] or ''}  {row['note'] or ''}", flush=True)
    return row


def first_loads(engine, image):
    used = {}
    for nodes in (NODES[:1], NODES):
        empty = {}

        def before(peer, nodes=nodes, empty=empty):
            wipe(nodes)
            empty[peer] = disk(nodes[0])

        def after(peer, nodes=nodes, empty=empty):
            used[peer] = disk(nodes[0]) - empty[peer]

        case(f"{MB} MB, first load", engine, nodes, image.tag, {"kind": kind, "sidelift": sidelift}, before, 1, after=after,
             note=lambda row: f"{row['seconds']['kind'] / row['seconds']['sidelift']:.1f} x kind; disk in a node {used['sidelift']} of {used['kind']} MB")


def reloads(engine, image, registry, with_kind=True):
    def change(peer):
        image.change()
        image.build(engine)
        if peer == "floor":
            peers.ready_archive(engine, image.tag, f"{WORK}/ready.tar")

    def compare(row):
        t = row["seconds"]
        return (f"{t['sidelift'] / t['floor']:.1f} x the floor" if "floor" in t else "") + \
            (f", {t['kind'] / t['sidelift']:.0f} x kind" if "kind" in t else "")

    if registry:  # it has the layers below, as after the first push
        timed(registry.command(engine, image.tag, NODES), engine.env)
    one = {"sidelift": sidelift, "floor": floor(f"{WORK}/ready.tar")}
    if registry:
        one["registry"] = registry.command
    if with_kind:
        one.update(kind=kind, pipe=pipe)
    case(f"{MB} MB, 1 MB layer changed", engine, NODES[:1], image.tag, one, change, note=compare)
    timed(sidelift(engine, image.tag, NODES), engine.env)
    three = {"sidelift": sidelift}
    if registry:
        three["registry"] = registry.command
    if with_kind:
        three["kind"] = kind
    single = ROWS[-1]["seconds"]["sidelift"]
    case(f"{MB} MB, 1 MB layer changed", engine, NODES, image.tag, three, change,
         note=lambda row: f"{row['seconds']['sidelift'] / single:.1f} x the time of one node" + compare(row))


def unchanged(engine, image):
    for nodes in (NODES[:1], NODES):
        timed(sidelift(engine, image.tag, nodes), engine.env)
        case(f"{MB} MB, nothing changed", engine, nodes, image.tag, {"kind": kind, "sidelift": sidelift}, lambda peer: None, max(RUNS, 5))


def small(engine):
    image = Image("bench-small:dev", 5, 20)
    image.build(engine)
    case("6 MB, first load", engine, NODES[:1], image.tag, {"kind": kind, "sidelift": sidelift}, lambda peer: wipe(NODES[:1]), max(RUNS, 5))
    image.remove()


def hundred_layers(engine):
    directory = f"{WORK}/hundred"
    os.makedirs(directory)
    with open(f"{directory}/Dockerfile", "w") as f:
        f.write("FROM scratch\n" + "".join(f"COPY {i} /\n" for i in range(100)))

    def fill(i):
        with open(f"{directory}/{i}", "wb") as f:
            f.write(os.urandom(1000000))
    for i in range(100):
        fill(i)
    engine.build("bench-hundred:dev", directory)
    wipe(NODES[:1])
    timed(sidelift(engine, "bench-hundred:dev", NODES[:1]), engine.env)

    def change(peer):
        fill(50)
        engine.build("bench-hundred:dev", directory)
    case("100 layers of 1 MB, the 51st changed", engine, NODES[:1], "bench-hundred:dev", {"sidelift": sidelift}, change,
         note=lambda row: f"{row['layers_sent'][0]} layers, {row['bytes_sent'][0] / 1e6:.1f} MB into the node")
    engine.forget("bench-hundred:dev")
    shutil.rmtree(directory)


def ten_images(engine):
    base = Image("bench-ten-base:dev", 300, 500)
    base.build(engine)
    tags = []
    for i in range(10):
        directory = f"{WORK}/ten"
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/own", "wb") as f:
            f.write(os.urandom(1000000))
        with open(f"{directory}/Dockerfile", "w") as f:
            f.write("FROM bench-ten-base:dev\nCOPY own /own\n")
        tags.append(f"bench-ten-{i}:dev")
        engine.build(tags[-1], directory)
    case("ten images on one base of 300 MB", engine, NODES[:1], tags, {"kind": peers.kind_one_by_one, "sidelift": sidelift},
         lambda peer: wipe(NODES[:1]), 1,
         note=lambda row: f"{row['seconds']['kind'] / row['seconds']['sidelift']:.1f} x kind; {row['bytes_sent'][0] / 1e6:.0f} MB into the node")
    engine.forget(*tags)
    base.remove()


def provenance(engine):
    """The same image under a new index, as a cached build with provenance makes it."""
    helper = os.path.abspath("tests/integration/helpers/oci.py")
    for word in ("first", "second"):
        sh("python3", helper, f"{WORK}/oci.tar", "bench-index:dev", env=dict(os.environ, PROVENANCE=word))
        engine.docker("load", "-i", f"{WORK}/oci.tar")
        if word == "first":
            timed(sidelift(engine, "bench-index:dev", NODES[:1]), engine.env)
    case("a cached rebuild with provenance", engine, NODES[:1], "bench-index:dev", {"sidelift": sidelift}, lambda peer: None, 1,
         note=lambda row: f"{row['bytes_sent'][0]} bytes into the node")


def growth(engine):
    """Reload and first load from image to image, and with many images in the node."""
    reload_times, first_times = {}, {}
    for mb in GROWTH:
        image = Image("bench-growth:dev", mb, max(10, 20000 * mb // 1500))
        image.build(engine)
        row = case(f"{mb} MB, first load", engine, NODES[:1], image.tag, {"sidelift": sidelift}, lambda peer: wipe(NODES[:1]), 1)
        first_times[mb] = row["seconds"]["sidelift"]

        def change(peer, image=image):
            image.change()
            image.build(engine)
        row = case(f"{mb} MB, 1 MB layer changed", engine, NODES[:1], image.tag, {"sidelift": sidelift}, change, max(RUNS, 5))
        reload_times[mb] = row["seconds"]["sidelift"]
        image.remove()
    image = Image("bench-many:dev", 5, 20)

    def change(peer):
        image.change()
        image.build(engine)
    many = {}
    for count in (5, 300):
        wipe(NODES[:1])
        fill_node(NODES[0], count)
        change(None)
        timed(sidelift(engine, image.tag, NODES[:1]), engine.env)
        row = case(f"6 MB, 1 MB layer changed, {count} images in the node", engine, NODES[:1], image.tag, {"sidelift": sidelift}, change, max(RUNS, 5))
        many[count] = row["seconds"]["sidelift"]
    image.remove()
    return {"reload": reload_times, "first": first_times, "images": many}


def fill_node(node, count):
    """@count small images of their own."""
    blobs, manifests = {}, []

    def add(data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return "sha256:" + digest, len(data)
    for i in range(count):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            info = tarfile.TarInfo(f"file-{i}")
            info.size = 1000
            tar.addfile(info, io.BytesIO(os.urandom(1000)))
        layer = add(out.getvalue())
        config = add(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer[0]]}}).encode())
        manifest = add(json.dumps({"schemaVersion": 2, "mediaType": peers.OCI + "manifest.v1+json",
                                   "config": {"mediaType": peers.OCI + "config.v1+json", "digest": config[0], "size": config[1]},
                                   "layers": [{"mediaType": peers.OCI + "layer.v1.tar", "digest": layer[0], "size": layer[1]}]}).encode())
        manifests.append({"mediaType": peers.OCI + "manifest.v1+json", "digest": manifest[0], "size": manifest[1],
                          "annotations": {"io.containerd.image.name": f"docker.io/library/fill-{i}:dev"}})
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    with tarfile.open(f"{WORK}/fill.tar", "w") as tar:
        for name, data in blobs.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with open(f"{WORK}/fill.tar", "rb") as f:
        subprocess.run(["docker", "exec", "-i", node, "ctr", "-n", "k8s.io", "images", "import", "-"], stdin=f, check=True, stdout=subprocess.DEVNULL)


def with_engine(part, engines, image, registry):
    engine = engines[part]
    image.build(engine)
    first_loads(engine, image)
    reloads(engine, image, registry)
    unchanged(engine, image)
    if part == "root":
        reloads(engines["user"], image, None, with_kind=False)
        small(engine)
        hundred_layers(engine)
        ten_images(engine)
    if part == "store":
        provenance(engine)
        small(engine)
    image.leave(engine)


def main():
    engines = {
        "root": Engine("docker 20.10 overlay2"),
        "user": Engine("docker 20.10, uid 1000", user=1000),
        "graph": Engine("docker 28 overlay2", os.environ["BENCH_GRAPH"]),
        "store": Engine("docker 28 containerd", os.environ["BENCH_STORE"]),
        "newest": Engine("docker 29 containerd", os.environ["BENCH_NEWEST"]),
    }
    image = Image("bench-large:dev", MB, FILES) if set(PARTS) & set(engines) else None
    registry = peers.Registry()
    before = {"rows": [], "growth": None}
    if os.environ.get("BENCH_ADD"):
        with open("build/bench.json") as f:
            before = json.load(f)
    grown = None
    try:
        for part in PARTS:
            if part == "loop":
                # not before: a cluster that runs takes part of the machine from all the others
                kubeconfig = sh("tests/bed/up.sh", "bench-loop", "bookworm").strip()
                row = loop.Loop(engines["root"], kubeconfig, MB, FILES).run(max(RUNS, 5))
                sh("tests/bed/down.sh", "bench-loop")
                ROWS.append(row)
                print(f"{row['case']}: {row['seconds']} {row['note']}", flush=True)
            elif part == "growth":
                grown = growth(engines["root"])
            else:
                with_engine(part, engines, image, registry)
            write(engines, grown, before)  # what is measured is not lost with the rest
    finally:
        registry.stop()
        write(engines, grown, before)


def write(engines, grown, before):
    versions = [engines[name].docker("version", "-f", "{{.Server.Version}}").strip() for name in ("root", "store", "newest")]
    software = f"docker {', '.join(versions)}; {sh(peers.KIND, '--version').strip()}, " \
               f"containerd {node_sh(NODES[0], 'ctr --version').split()[-1]} in the nodes"
    result = {"version": 2, "date": time.strftime("%Y-%m-%d"), "machine": f"{os.cpu_count()} cores, {platform.release()}",
              "software": software, "runs": RUNS,
              "rows": before["rows"] + ROWS, "growth": grown or before["growth"]}
    with open("build/bench.json", "w") as f:
        json.dump(result, f, indent=1)
    with open("build/bench.md", "w") as f:
        f.write(plot.markdown(result))
    if any(len(row["seconds"]) > 1 for row in result["rows"]):
        with open("build/bench.svg", "w") as f:
            f.write(plot.svg(result))


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and what was started is stopped
try:
    main()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
