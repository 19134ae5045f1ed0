#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oci.py FILE NAME: an OCI layout as buildx writes it: gzipped layers, an index
that names a platform that is not there, and an attestation manifest."""
import gzip
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

OCI = "application/vnd.oci.image."
blobs = {}


def add(data, kind):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    blobs["blobs/sha256/" + digest[7:]] = data
    return {"mediaType": OCI + kind, "digest": digest, "size": len(data)}


def layer(name, text):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return out.getvalue()


arch = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
layers = [layer("hello", b"hello\n"), layer("many", b"many\n" * 10000)]
config = json.dumps({"architecture": arch, "os": "linux", "config": {}, "rootfs": {
    "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]}}).encode()
manifest = add(json.dumps({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": add(config, "config.v1+json"),
                           "layers": [add(gzip.compress(x), "layer.v1.tar+gzip") for x in layers]}).encode(), "manifest.v1+json")
manifest["platform"] = {"architecture": arch, "os": "linux"}
attested = add(json.dumps({"provenance": os.environ.get("PROVENANCE", "none")}).encode(), "config.v1+json")
attestation = add(json.dumps({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": attested, "layers": []}).encode(), "manifest.v1+json")
attestation.update(platform={"architecture": "unknown", "os": "unknown"},
                   annotations={"vnd.docker.reference.type": "attestation-manifest"})
absent = {"mediaType": OCI + "manifest.v1+json", "digest": "sha256:" + "1" * 64, "size": 500,
          "platform": {"architecture": "s390x", "os": "linux"}}
index = add(json.dumps({"schemaVersion": 2, "manifests": [absent, manifest, attestation]}).encode(), "index.v1+json")
index["annotations"] = {"io.containerd.image.name": "docker.io/library/" + sys.argv[2]}
blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [index]}).encode()
blobs["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
with tarfile.open(sys.argv[1], "w") as tar:
    for name in sorted(blobs):
        info = tarfile.TarInfo(name)
        info.size = len(blobs[name])
        tar.addfile(info, io.BytesIO(blobs[name]))
