#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""damage.py SAVED OUT flip|dots|arch: a docker archive with one thing wrong."""
import hashlib
import io
import json
import sys
import tarfile

saved, out, how = sys.argv[1:]
with tarfile.open(saved) as tar:
    members = [(m, tar.extractfile(m).read() if m.isfile() else b"") for m in tar.getmembers()]
if how == "arch":
    # another architecture, and everything that follows from it right
    (entry,) = json.loads(next(data for m, data in members if m.name == "manifest.json"))
    config = json.loads(next(data for m, data in members if m.name == entry["Config"]))
    config["architecture"] = "s390x"
    text = json.dumps(config).encode()
    name = hashlib.sha256(text).hexdigest() + ".json"
    for i, (m, data) in enumerate(members):
        if m.name == entry["Config"]:
            m.name, members[i] = name, (m, text)
        if m.name == "manifest.json":
            entry["Config"] = name
            members[i] = (m, json.dumps([entry]).encode())
with tarfile.open(out, "w") as tar:
    for m, data in members:
        if how == "flip" and m.name.endswith("layer.tar"):
            data = data[:700] + bytes([data[700] ^ 1]) + data[701:]
        m.size = len(data)
        tar.addfile(m, io.BytesIO(data))
    if how == "dots":
        for name in ("../../../../tmp/sidelift-escaped", "/tmp/sidelift-escaped", "blobs/sha256/../../../tmp/sidelift-escaped"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"evil"))
