# SPDX-License-Identifier: Apache-2.0
"""Other spellings of a manifest, which mean the same to kubectl."""
import json

import yaml

import judge

MAX = 30000  # bytes of what is spelt anew


def crlf(data):
    return data.replace(b"\n", b"\r\n") if b"\r" not in data else None


def minified(objects):
    """JSON objects in a row, with nothing between them."""
    return "".join(json.dumps(o, separators=(",", ":"), ensure_ascii=False) for o in objects).encode()


def indented(objects):
    """JSON objects in a row, as kubectl -o json prints them."""
    return "".join(json.dumps(o, indent=4) + "\n" for o in objects).encode()


def nodes_of(data):
    return [node for part in judge.parts(data.decode()) for node in yaml.compose_all(part, yaml.CSafeLoader) if node is not None]


def text_of(nodes):
    return yaml.serialize_all(nodes, Dumper=yaml.CSafeDumper, explicit_start=True, allow_unicode=True).encode()


def same(node):
    """What two nodes have alike when they mean the same."""
    if isinstance(node, yaml.ScalarNode):
        return node.tag, node.value
    if isinstance(node, yaml.SequenceNode):
        return ("seq", *map(same, node.value))
    return ("map", *((same(k), same(v)) for k, v in node.value))


def shared(node, known):
    """The node with equal collections below it made one, which the emitter gives an anchor."""
    if isinstance(node, yaml.ScalarNode) or not node.value:
        return node
    if isinstance(node, yaml.SequenceNode):
        node.value = [shared(item, known) for item in node.value]
    else:
        node.value = [(k, shared(v, known)) for k, v in node.value]
    return known.setdefault(same(node), node)


def aliased(data):
    text = text_of([shared(node, {}) for node in nodes_of(data)])
    return text if b": &id0" in text or b"- &id0" in text else None


def merge_first(first, other):
    """Make `other` begin with `<<: *first`, if all that it would get is there anyway."""
    own = {k.value: same(v) for k, v in other.value}
    base = {k.value: same(v) for k, v in first.value}
    if not set(base) <= set(own):
        return False
    rest = [(k, v) for k, v in other.value if base.get(k.value) != same(v)]
    other.value = [(yaml.ScalarNode("tag:yaml.org,2002:merge", "<<"), first), *rest]
    other.flow_style = False
    return True


def merge_containers(node):
    """Whether a container in a list was written as a merge of the one before it."""
    if isinstance(node, yaml.SequenceNode):
        return any([merge_containers(item) for item in node.value])
    if not isinstance(node, yaml.MappingNode):
        return False
    done = False
    for key, value in node.value:
        items = value.value if key.value in judge.LISTS and isinstance(value, yaml.SequenceNode) else []
        maps = all(isinstance(item, yaml.MappingNode) for item in items)
        for i in range(len(items) - 1 if maps else 0, 0, -1):
            done |= merge_first(items[i - 1], items[i])
        done |= bool(merge_containers(value))
    return done


def merged(data):
    nodes = nodes_of(data)
    if not any([merge_containers(node) for node in nodes]):
        return None
    return text_of(nodes)


def make_flow(node, inside):
    """Whether there are containers that were put between braces, a line or several each."""
    if isinstance(node, yaml.ScalarNode):
        node.value = node.value or ("null" if node.tag.endswith(":null") else "")  # nothing is a null in block style only
        return False
    if inside:
        node.flow_style = True
    if isinstance(node, yaml.SequenceNode):
        return any([make_flow(item, inside) for item in node.value])
    made = False
    for key, value in node.value:
        items = value.value if key.value in judge.LISTS and isinstance(value, yaml.SequenceNode) else []
        made |= any([make_flow(item, True) or True for item in items])
        made |= make_flow(value, inside)
    return made


def flow(data):
    nodes = nodes_of(data)
    return text_of(nodes) if any([make_flow(node, False) for node in nodes]) else None


def of(data, ext, objects):
    """(name, extension, data) of each variant of a file that kubectl reads as @objects."""
    if len(data) > MAX or not objects:
        return
    row = indented(objects)
    yield "indented", "json", row
    yield "minified", "json", minified(objects)
    yield "crlf", ext, crlf(data)
    if ext != "json":
        yield "aliased", "yaml", aliased(data)
        yield "merged", "yaml", merged(data)
        yield "flow", "yaml", flow(data)
