#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""corpus.py fetch | list

fetch: get the modules of MODULES by the Go client, and unpack what corpus.list
       names into $BED_CACHE/corpus; the modules' texts are in no other place.
list:  print corpus.list anew, for who changes MODULES."""
import collections
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import zipfile

import yaml

import judge

MODULES = """
k8s.io/api@v0.33.13
k8s.io/cli-runtime@v0.33.13
k8s.io/kubectl@v0.33.13
k8s.io/kubernetes@v1.33.13
helm.sh/helm/v3@v3.18.6
github.com/argoproj/argo-rollouts@v1.8.3
github.com/argoproj/argo-workflows/v3@v3.6.2
github.com/cert-manager/cert-manager@v1.17.4
github.com/openkruise/kruise@v1.8.0
knative.dev/serving@v0.42.2
sigs.k8s.io/kueue@v0.10.1
sigs.k8s.io/kustomize/api@v0.21.1
sigs.k8s.io/lws@v0.6.1
""".split()

HERE = os.path.dirname(os.path.abspath(__file__))
LIST = os.path.join(HERE, "..", "corpus.list")
CACHE = os.path.join(os.environ.get("BED_CACHE") or os.path.expanduser("~/.cache/sidelift-bed"), "corpus")
LISTED_MAX = 2 << 20


def zip_of(module):
    for attempt in range(3):
        run = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, cwd="/",
                             env=dict(os.environ, GOFLAGS="-mod=mod"), timeout=300)
        if run.returncode == 0:
            return json.loads(run.stdout)["Zip"]
        time.sleep(3 * attempt)
    sys.exit(f"{module}: {run.stdout}{run.stderr}")


def listed():
    with open(LIST) as lines:
        return [line.split() for line in lines if not line.startswith("#")]


def fetch():
    """An unpacked file is there whole, with the right hash, or the whole thing fails."""
    os.makedirs(CACHE, exist_ok=True)
    missing = collections.defaultdict(list)
    for digest, kind, module, path in listed():
        if not os.path.exists(os.path.join(CACHE, digest)):
            missing[module].append((digest, path))
    for module, files in missing.items():
        with zipfile.ZipFile(zip_of(module)) as archive:
            for digest, path in files:
                data = archive.read(f"{module}/{path}")
                if hashlib.sha256(data).hexdigest() != digest:
                    sys.exit(f"{module}/{path} is not what corpus.list says")
                with open(os.path.join(CACHE, digest + ".tmp"), "wb") as out:
                    out.write(data)
                os.rename(os.path.join(CACHE, digest + ".tmp"), os.path.join(CACHE, digest))


def kind_of(data):
    """manifest, template (which nobody can read as it is), or None for what is neither."""
    if not re.search(rb"""(?:containers|initContainers|ephemeralContainers)["']?\s*:""", data) or len(data) > LISTED_MAX:
        return None
    text = data.decode()
    try:
        found = judge.read(text)
    except yaml.YAMLError:
        return "template" if "{{" in text else None
    except (ValueError, TypeError):
        return None
    return "manifest" if judge.Verdict(found, [], "Never").containers else None


def make_list():
    print("# SPDX-License-Identifier: Apache-2.0")
    print("# corpus.py list: SHA256 manifest|template MODULE@VERSION PATH")
    seen = set()
    for module in MODULES:
        with zipfile.ZipFile(zip_of(module)) as archive:
            for info in sorted(archive.infolist(), key=lambda i: i.filename):
                path = info.filename[len(module) + 1:]
                if not re.search(r"\.(ya?ml|json)$", path) or " " in path or module.startswith("k8s.io/api@") and not path.startswith("testdata/HEAD/"):
                    continue
                data = archive.read(info)
                digest = hashlib.sha256(data).hexdigest()
                kind = kind_of(data)
                if kind and digest not in seen:
                    seen.add(digest)
                    print(digest, kind, module, path)


def main():
    if sys.argv[1:] == ["fetch"]:
        fetch()
    elif sys.argv[1:] == ["list"]:
        make_list()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
