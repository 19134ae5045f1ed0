#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rewriting.py SIDELIFT OUT: rewrite every file of the corpus, and variants of it, and
print what was wrong, a line each: CHECK, a tab, FILE, a tab, WHY.  Everything is in
OUT; counts.json there says how much was compared.

The judges are others than the program: PyYAML for what has to be done (judge.py),
bytes for where, kubectl for what it means."""
import collections
import copy
import hashlib
import json
import os
import re
import subprocess
import sys

import corpus
import judge
import variants

POLICIES = ("Never", "IfNotPresent", "Always")


def number(data):
    return int(hashlib.sha256(data).hexdigest(), 16)


def named(data):
    """Names for what stands where an image is named and is no name: every second
    container of the API's examples another one, ko's by what they are built from."""
    count = iter(range(len(data)))
    return re.sub(rb"imageValue", lambda _: b"app-%d:dev" % (next(count) % 2), data).replace(b"ko://", b"")


class Case:
    """A text, what has to be done to it, and what became of it."""

    def __init__(self, name, origin, ext, data, half, quick=False):
        self.name, self.origin, self.ext, self.data = name, origin, ext, data
        self.documents = judge.read(data.decode(), quick)
        self.kind_of_run = half, POLICIES[number(origin.encode()) % 3]
        self.verdict = self.result = None

    def other_half(self):
        other = copy.copy(self)
        other.name, other.kind_of_run = self.name + "-2", (1 - self.kind_of_run[0], self.kind_of_run[1])
        return other

    def file(self, folder):
        return os.path.join(folder, f"{self.name}.{self.ext}")


class Batch:
    """What one run of the program is to rewrite, with one half of its images chosen."""

    def __init__(self, kind_of_run, cases):
        half, self.policy = kind_of_run
        images = sorted({image for case in cases for image in judge.images_in(case.documents)})
        self.images = [image for image in images if number(image.encode()) % 2 == half]
        self.cases = cases
        for case in cases:
            case.batch = self
            case.verdict = judge.Verdict(case.documents, self.images, self.policy)

    def run(self, sidelift, cases, folder):
        """The lines that the program prints of each file, by its path, of both streams."""
        words = [word for image in self.images for word in ("--image", image)]
        run = subprocess.run([sidelift, "rewrite", "-v", "--in-place", "--policy", self.policy, *words, *(c.file(folder) for c in cases)],
                             capture_output=True, text=True, timeout=300)
        lines = collections.defaultdict(list)
        for line in run.stdout.splitlines() + run.stderr.splitlines():
            path = re.search(re.escape(folder) + r"/[^:]*", line)
            lines[path[0] if path else line].append(line)
        return run.returncode, lines


def refused_well(case, lines, path):
    verdict, data = case.verdict, read(path)
    return len(lines) == 1 and re.match(re.escape(f"sidelift: {path}:") + r"\d+:\d+: .*(write it out|move it)", lines[0]) and \
        verdict.changed and data == case.data


def counted(case, lines, path):
    """Why what was said of a file is not what had to be done; None if it is."""
    verdict = case.verdict
    wanted = rf": {verdict.containers} containers, \d+ with a chosen image, {verdict.changed} to change"
    told = f"{path}: imagePullPolicy is now {case.batch.policy} in {verdict.changed} of {verdict.containers} containers"
    if not any(re.search(wanted, line) for line in lines) or (told in lines) != bool(verdict.changed) or len(lines) != 1 + bool(verdict.changed):
        return f"{verdict.changed} of {verdict.containers} containers are to change, not: {lines}"
    return None


def read(path):
    with open(path, "rb") as file:
        return file.read()


def check_batch(sidelift, batch, folder):
    """What is wrong with the rewriting of a batch: (check, case, why) each."""
    code, lines = batch.run(sidelift, batch.cases, folder)
    done = []
    for case in batch.cases:
        path = case.file(folder)
        said = lines.pop(path, [])
        if case.verdict.refused:
            if not refused_well(case, said, path):
                yield "refusal", case, str(said)
            continue
        why = counted(case, said, path)
        if why:
            yield "edits", case, why
        case.result = read(path)
        done.append(case)
        spans = judge.spans(case.data, case.result, batch.policy)
        if spans != (case.verdict.edits - case.verdict.replaced, case.verdict.replaced):
            yield "bytes", case, f"{case.verdict.edits} edits, {case.verdict.replaced} in place of something, not {spans}"
    if lines or code != (len(done) < len(batch.cases)):
        yield "edits", batch.cases[0], f"exit {code}, and {dict(lines)}"
    code, lines = batch.run(sidelift, done, folder)
    for case in done:
        if not lines[case.file(folder)][0].endswith(" 0 to change") or read(case.file(folder)) != case.result:
            yield "again", case, str(lines[case.file(folder)])
    if code:
        yield "again", batch.cases[0], f"exit {code}"


def kubectl(folder, cases):
    """What kubectl reads from the files of a folder: a list of objects for each case
    that it takes without an error."""
    for case in cases:
        # '~' sorts behind '.': a mark ends what came of the file before it
        with open(os.path.join(folder, f"{case.name}~.json"), "w") as file:
            json.dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mark-" + case.name}}, file)
    run = subprocess.run(["kubectl", "label", "--local", "-f", folder, "-o", "json", "tests.sidelift/x=1"], capture_output=True, text=True, timeout=300)
    refused = set(re.findall(re.escape(folder) + r"/([^.]+)\.", run.stderr))
    found, objects, decoder, at = {}, [], json.JSONDecoder(), 0
    while at < len(run.stdout):
        value, at = decoder.raw_decode(run.stdout, at)
        at += 1  # a line break
        if value["kind"] == "ConfigMap" and value["metadata"]["name"].startswith("mark-"):
            found[value["metadata"]["name"][5:]] = objects
            objects = []
        else:
            objects.append(value)
    if set(found) != {case.name for case in cases}:
        sys.exit(f"kubectl did not come to the end: {run.stderr}")
    return {name: objects for name, objects in found.items() if name not in refused}


def expanded(objects):
    return [judge.expand(judge.graph_of_json(o)) for o in objects]


class Round:
    """A set of cases, from the files to the comparison."""

    def __init__(self, sidelift, out, cases):
        self.wrong, self.compared = [], []
        folders = [os.path.join(out, side) for side in ("before", "after")]
        for folder in folders:
            os.makedirs(folder)
            for case in cases:
                with open(case.file(folder), "wb") as file:
                    file.write(case.data)
        batches = collections.defaultdict(list)
        for case in cases:
            batches[case.kind_of_run].append(case)
        for kind_of_run, members in batches.items():
            for check, case, why in check_batch(sidelift, Batch(kind_of_run, members), folders[1]):
                self.wrong.append((check, case.origin, why))
        self.done = [case for case in cases if case.result is not None]
        self.before, after = kubectl(folders[0], cases), kubectl(folders[1], cases)
        for case in self.done:
            self.compare(case, self.before.get(case.name), after.get(case.name))

    def compare(self, case, before, after):
        if before is None and after is None:
            return
        if not before or after is None:
            self.wrong.append(("kubectl", case.origin, f"reads it {'before' if before else 'afterwards'} only"))
            return
        self.compared.append(case)
        if expanded(after) != judge.with_policy(expanded(before), case.batch.images, case.batch.policy):
            self.wrong.append(("kubectl", case.origin, f"reads {json.dumps(after)[:2000]}"))


def variants_of(first):
    for index, case in enumerate(first.compared):
        if case.name.endswith("-2"):
            continue
        for name, ext, data in variants.of(case.data, case.ext, stripped(first.before[case.name])):
            if data is not None:
                yield name, Case(f"{case.name}-{name}", f"{case.origin} ({name})", ext, data, index % 2, quick=True), case


def stripped(objects):
    """Without the label that came with the reading."""
    objects = json.loads(json.dumps(objects))
    for o in objects:
        ((o.get("metadata") or {}).get("labels") or {}).pop("tests.sidelift/x", None)
    return objects


def check_templates(sidelift, templates):
    """They are refused with their positions, as kubectl refuses them."""
    paths = [path for path, _ in templates]
    run = subprocess.run([sidelift, "rewrite", "--image", "app:dev", *paths], capture_output=True, text=True, timeout=60)
    said = run.stderr.splitlines()
    judged = subprocess.run(["kubectl", "label", "--local", *(word for path in paths for word in ("-f", path)), "-o", "name", "x=1"],
                            capture_output=True, text=True, timeout=60)
    if run.returncode != 1 or run.stdout or len(said) != len(paths):
        yield "template", "all", f"exit {run.returncode} {said}"
    for path, origin in templates:
        if not any(re.match(re.escape(f"sidelift: {path}:") + r"\d+:\d+: .", line) for line in said):
            yield "template", origin, "it was not refused with its position"
        if path not in judged.stderr:
            yield "template", origin, "kubectl reads it"


def maps_in(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from maps_in(item)


def how_written(case):
    """What is remarkable about the text."""
    if any(judge.text_of(judge.get(document, "kind")) == "List" for document in case.documents):
        yield "List"
    if case.data.lstrip().startswith(b"{"):
        yield "JSON in a row" if len(case.documents) > 1 else "JSON"
    elif len(case.documents) > 1:
        yield "documents"


def features(rounds):
    """How many of the compared cases with edits have each thing that must be there."""
    count = collections.Counter()
    for one in rounds:
        for case in one.compared:
            if case.verdict.edits:
                objects = one.before[case.name]
                groups = [o["apiVersion"].rpartition("/")[0] or "core" for o in objects]
                count.update({f"{group}/{o['kind']}" for group, o in zip(groups, objects)})
                count.update({key for o in objects for m in maps_in(o) for key in judge.LISTS if key in m})
                count.update(how_written(case))
    return count


def cases(out):
    """The files, each twice, and (path, origin) of the templates."""
    files, templates = [], []
    for index, (digest, kind, module, path) in enumerate(corpus.listed()):
        ext, origin = path.rsplit(".", 1)[1], f"{module}/{path}"
        data = read(os.path.join(corpus.CACHE, digest))
        if kind == "manifest":
            files.append(Case(f"{index:04d}", origin, ext, named(data), 0))
            files.append(files[-1].other_half())
            continue
        templates.append((os.path.join(out, f"template-{index:04d}.{ext}"), origin))
        with open(templates[-1][0], "wb") as file:
            file.write(data)
    return files, templates


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sidelift, out = os.path.abspath(sys.argv[1]), sys.argv[2]
    files, templates = cases(out)
    first = Round(sidelift, os.path.join(out, "files"), files)
    made = list(variants_of(first))
    second = Round(sidelift, os.path.join(out, "variants"), [case for _, case, _ in made])
    wrong = first.wrong + second.wrong + list(check_templates(sidelift, templates))
    for _, case, original in made:
        if second.before.get(case.name) != first.before[original.name]:
            wrong.append(("variants", case.origin, "means something else to kubectl"))
    for line in wrong:
        print("\t".join(part.replace("\n", " ") for part in line))
    counts = {"files": len(files) // 2, "compared": len({c.origin for c in first.compared}), "templates": len(templates),
              "containers": sum(c.verdict.containers for c in first.done) // 2, "changed": sum(c.verdict.changed for c in first.done),
              "replaced": sum(c.verdict.replaced for c in first.done),
              "variants": collections.Counter(name for name, case, _ in made if case in second.compared),
              "refused": sum(case.verdict.refused for _, case, _ in made), "features": features([first, second])}
    with open(os.path.join(out, "counts.json"), "w") as file:
        json.dump(counts, file, indent=1)


if __name__ == "__main__":
    main()
