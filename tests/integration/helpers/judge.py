# SPDX-License-Identifier: Apache-2.0
"""What `sidelift rewrite` has to do to a manifest, worked out a second time: by
PyYAML's own scanner and parser (libyaml's where time counts), on a graph of nodes
in which an alias is the same node again.

An edit is done to the graph, and the graph is expanded as kubectl expands it;
where that is not the expanded original with just the chosen policies set, the
program has to refuse."""
import copy
import json
import re

import yaml

LISTS = ("containers", "initContainers", "ephemeralContainers")
OPAQUE = ("ConfigMap", "Secret", "CustomResourceDefinition")
POLICY = "imagePullPolicy"
STRING = "tag:yaml.org,2002:str"
LARGE = 60000  # bytes: libyaml from here on, for the other one takes minutes

COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
REFERENCE = re.compile(
    rf"(?:(?P<domain>{LABEL}(?:\.{LABEL})*(?::[0-9]+)?)/)?(?P<path>{COMPONENT}(?:/{COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?")


def canonical(image):
    """The one spelling of an image's name; None if it is no name."""
    slash = image.find("/")
    first = image[:slash] if slash > 0 else ""
    named = first == "localhost" or re.search(r"[.:A-Z]", first)
    found = REFERENCE.fullmatch(image if named else "docker.io/" + image)
    if not found or re.fullmatch("[0-9a-f]{64}", image):
        return None
    domain, path = found["domain"], found["path"]
    if domain in ("docker.io", "index.docker.io"):
        domain, path = "docker.io", path if "/" in path else "library/" + path
    return f"{domain}/{path}" + ("@" + found["digest"] if found["digest"] else ":" + (found["tag"] or "latest"))


# ---- a graph of lists, and of maps as lists of pairs; scalars are (tag, text) ----

class Map:
    def __init__(self):
        self.pairs = []

    def own(self, key):
        return [i for i, (k, _) in enumerate(self.pairs) if k[1] == key and not is_merge(k)]


def is_merge(key):
    return key[0] == "tag:yaml.org,2002:merge"


def graph(node, seen):
    if id(node) in seen:
        return seen[id(node)]
    if isinstance(node, yaml.ScalarNode):
        made = (node.tag, node.value)
    elif isinstance(node, yaml.SequenceNode):
        made = [graph(item, seen) for item in node.value]
    else:
        made = Map()
        made.pairs = [[graph(k, seen), graph(v, seen)] for k, v in node.value]
        if not all(isinstance(k, tuple) for k, _ in made.pairs):
            raise yaml.YAMLError("a map or list as a key")  # {{ .Values.x }}
    seen[id(node)] = made
    return made


def graph_of_json(value):
    if isinstance(value, dict):
        made = Map()
        made.pairs = [[(STRING, k), graph_of_json(v)] for k, v in value.items()]
        return made
    if isinstance(value, list):
        return [graph_of_json(item) for item in value]
    if isinstance(value, str):
        return (STRING, value)
    return ("json", json.dumps(value))


def parts(text):
    """kubectl cuts at lines that begin with ---."""
    return re.split(r"^---[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)", text, flags=re.M)


def read_json(text):
    """JSON objects in a row; raises ValueError for what is none."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(graph_of_json(value))
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def read(text, quick=False):
    """The documents of a text as graphs; raises yaml.YAMLError."""
    try:
        return read_json(text.strip())
    except ValueError:
        pass
    loader = yaml.CSafeLoader if quick or len(text) > LARGE else yaml.SafeLoader
    return [graph(node, {}) for part in parts(text) for node in yaml.compose_all(part, loader) if node is not None]


def expand(value):
    """As kubectl reads it: of two equal keys the last counts, a merge at its place."""
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, Map):
        return value
    made = {}
    for key, item in value.pairs:
        if is_merge(key):
            for merged in reversed(item) if isinstance(item, list) else [item]:
                made.update(expand(merged))
        else:
            made[key[1]] = expand(item)
    return made


def get(value, key):
    """The value that counts at a key of a Map, or of expanded data."""
    if isinstance(value, dict):
        return value.get(key)
    found = None
    for k, item in value.pairs if isinstance(value, Map) else []:
        if is_merge(k):
            for merged in reversed(item) if isinstance(item, list) else [item]:
                found = get(merged, key) or found
        elif k[1] == key:
            found = item
    return found


def text_of(value):
    return value[1] if isinstance(value, tuple) and value[0] == STRING else None


def is_opaque(value):
    return text_of(get(value, "kind")) in OPAQUE and get(value, "apiVersion") is not None


def image_of(value):
    image = text_of(get(value, "image"))
    return canonical(image) if image else None


def containers(value, found):
    """The maps that are containers, each once, in the order of the text."""
    if isinstance(value, list):
        for item in value:
            containers(item, found)
    if not isinstance(value, Map) or is_opaque(value):
        return
    for key, item in value.pairs:
        if key[1] in LISTS and isinstance(item, list):
            for one in item:
                if isinstance(one, Map) and text_of(get(one, "image")) and not any(one is x for x in found):
                    found.append(one)
        containers(item, found)


def with_policy(value, images, policy):
    """Expanded data in which the chosen containers have the policy."""
    if isinstance(value, list):
        return [with_policy(item, images, policy) for item in value]
    if not isinstance(value, dict) or is_opaque(value):
        return value
    made = {}
    for key, item in value.items():
        if key in LISTS and isinstance(item, list):
            item = [dict(one, **{POLICY: (STRING, policy)}) if image_of(one) in images else one for one in item]
        made[key] = with_policy(item, images, policy)
    return made


class Verdict:
    """refused: it cannot be done without changing something else.  edits: what goes
    into the text, of which `replaced` take the place of something; changed, of
    containers: how many of them get another policy."""

    def __init__(self, documents, images, policy):
        wanted = [with_policy(expand(d), images, policy) for d in documents]
        documents = copy.deepcopy(documents)
        self.containers = self.changed = self.edits = self.replaced = 0
        for document in documents:
            found = []
            containers(document, found)
            self.containers += len(found)
            chosen = [(one, get(one, POLICY)) for one in found if image_of(one) in images]
            for one, present in chosen:
                self.choose(one, present, (STRING, policy))
        self.refused = [expand(d) for d in documents] != wanted

    def choose(self, one, present, value):
        own = [i for i in one.own(POLICY) if one.pairs[i][1] != value]
        for i in own:
            one.pairs[i][1] = value
        inserted = not one.own(POLICY) and present != value
        if inserted:
            one.pairs.append([(STRING, POLICY), value])
        self.edits += len(own) + inserted
        self.replaced += len(own)
        self.changed += bool(own or inserted)


def images_in(documents):
    """The images that containers run, canonical, in the order of the text."""
    found = []
    for document in documents:
        containers(document, found)
    names = [image_of(one) for one in found]
    return list(dict.fromkeys(name for name in names if name))


# ---- bytes ----

def spans(before, after, policy):
    """How `after` came from `before`, as (inserted, replaced), if nothing but
    policies was put in or replaced; otherwise the place where they part."""
    pair = rb"""(?P<q>["']?)imagePullPolicy(?P=q)[ \t]*:[ \t]*(?P=q)%s(?P=q)""" % policy.encode()
    # a line of its own, or an entry between braces
    insertion = re.compile(rb"(?:\r?\n|\r)[ \t]*%s(?=[\r\n]|\Z)|%s,\s*|,\s*%s" % (pair, pair.replace(b"q", b"r"), pair.replace(b"q", b"s")))
    word = policy.encode()
    i = j = inserted = replaced = 0
    while i < len(before) or j < len(after):
        step = common(before, after, i, j)
        i, j = i + step, j + step
        if i == len(before) and j == len(after):
            break
        for back in range(0, min(i, j, 200) + 1):
            found = insertion.match(after, j - back)
            if found and follows(before, after, i - back, found.end()):
                i, j, inserted = i - back, found.end(), inserted + 1
                break
            value = re.compile(rb"[^\s,}\"']+").match(before, i - back)
            if after.startswith(word, j - back) and value and before[:i - back].rstrip(b" \"'").endswith((b":",)) and \
                    re.search(rb"imagePullPolicy[\"']?\s*:\s*[\"']?$", before[max(0, i - back - 60):i - back]):
                i, j, replaced = value.end(), j - back + len(word), replaced + 1
                break
        else:
            return i, before[max(0, i - 40):i + 40], after[max(0, j - 40):j + 40]
    return inserted, replaced


def common(before, after, i, j):
    """How many bytes agree from there on."""
    n = 0
    for size in (65536, 1024, 32, 1):
        while before[i + n:i + n + size] == after[j + n:j + n + size] and len(before) >= i + n + size and len(after) >= j + n + size:
            n += size
    return n


def follows(before, after, i, j):
    """Whether the two go on together for a while."""
    return before[i:i + 8] == after[j:j + 8]
