#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""library.py LIBRARY CLUSTER EXPORTER IMAGE...: load images by the shared object alone,
as a program in another language does; prints "NODE OUTCOME EXPORTER", and the log on
standard error.  Without IMAGE: prints the version and a rewritten manifest."""
import ctypes as c
import sys

STR = c.c_char_p
LOG = c.CFUNCTYPE(None, c.c_int, STR, c.c_void_p)


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("errnum", c.c_int), ("message", c.c_char * 1024)]


class Options(c.Structure):
    _fields_ = [("size", c.c_size_t)] + [(name, STR) for name in (
        "docker_host", "docker_context", "node_engine", "kubeconfig", "kube_context", "cluster")] + [
        ("nodes", c.c_void_p), ("exporter", STR), ("importer", STR)]


class Node(c.Structure):
    _fields_ = [("name", STR), ("outcome", c.c_int), ("error", STR), ("bytes", c.c_uint64), ("layers", c.c_size_t), ("seconds", c.c_double)]


class Result(c.Structure):
    _fields_ = [("n_images", c.c_size_t), ("n_nodes", c.c_size_t), ("images", c.c_void_p), ("nodes", c.POINTER(c.POINTER(Node))),
                ("exporter", STR), ("shared", STR)]


library = c.CDLL(sys.argv[1])
error = Error()
if len(sys.argv) == 2:
    library.sidelift_version.restype = STR
    print(library.sidelift_version().decode())
    text, out, size = b"containers:\n- image: app:dev\n", STR(), c.c_size_t()
    if library.sidelift_rewrite(b"text", text, c.c_size_t(len(text)), (STR * 1)(b"app:dev"), c.c_size_t(1), None, c.byref(out),
                                c.byref(size), c.byref(error)):
        sys.exit(error.message.decode())
    print(out.value.decode(), end="")
    sys.exit()

log = LOG(lambda level, line, ctx: print(line.decode(), file=sys.stderr))
library.sidelift_set_log(1, log, None)
library.sidelift_open.restype = c.c_void_p
options = Options(size=c.sizeof(Options), cluster=sys.argv[2].encode(), exporter=sys.argv[3].encode())
session = c.c_void_p(library.sidelift_open(c.byref(options), c.byref(error)))
if not session:
    sys.exit(error.message.decode())
names = [name.encode() for name in sys.argv[4:]]
result = c.POINTER(Result)()
code = library.sidelift_load(session, (STR * len(names))(*names), c.c_size_t(len(names)), c.byref(result), c.byref(error))
for i in range(result.contents.n_nodes if result else 0):
    node = result.contents.nodes[i].contents
    print(node.name.decode(), node.outcome, (result.contents.exporter or b"none").decode())
library.sidelift_result_free(result)
library.sidelift_close(session)
if code:
    print(error.message.decode(), file=sys.stderr)
sys.exit(library.sl_status_exit_code(error.status))
