#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""peer.py SOCKET garbage|silence|endless|closed|notfound: what is no engine, at a unix socket."""
import os
import socket
import sys
import threading
import time

path, kind = sys.argv[1:]
server = socket.socket(socket.AF_UNIX)
if os.path.exists(path):
    os.unlink(path)
server.bind(path)
server.listen(16)


def serve(peer):
    try:
        if kind == "closed":
            return
        peer.recv(65536)
        if kind == "garbage":
            peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        elif kind == "notfound":
            body = b"<html>404</html>"
            peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        elif kind == "endless":
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while True:
                peer.sendall(b" " * 65536)
        else:
            time.sleep(3600)
    except OSError:
        pass
    finally:
        peer.close()


while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
