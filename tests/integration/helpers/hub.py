# SPDX-License-Identifier: Apache-2.0
"""What stands before a real registry in the tests of --via.

	hub.py door PORT UPSTREAM METHOD PATTERN STATUS   forwards to the registry at UPSTREAM, but answers
	                                                  METHOD requests whose path has PATTERN with STATUS
	hub.py tokens PORT KEY CERT USER PASSWORD         gives who knows the password tokens for all that is asked for
	hub.py web PORT                                   a web server that has a page for everything
"""
import base64
import http.client
import http.server
import json
import subprocess
import sys
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def answer(self, status, data, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)


class Door(Handler):
    def serve(self):
        data = self.body()
        upstream, method, pattern, status = sys.argv[3], sys.argv[4], sys.argv[5], int(sys.argv[6])
        if self.command == method and pattern in self.path:
            text = json.dumps({"errors": [{"code": "OF_THE_TEST", "message": "the test says no"}]})
            return self.answer(status, text.encode(), Content_Type="application/json")
        connection = http.client.HTTPConnection("127.0.0.1", int(upstream))
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("transfer-encoding", "content-length"):
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        response = connection.getresponse()
        content = response.read()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("server", "date", "connection"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Tokens(Handler):
    def serve(self):
        key, cert, user, password = sys.argv[3:7]
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        shown = base64.b64decode(self.headers.get("Authorization", "Basic ")[6:]).decode()
        if shown != f"{user}:{password}":
            return self.answer(401, b"{}")
        access = []
        for scope in asked.get("scope", []):
            for one in scope.split():
                kind, name, actions = one.split(":")
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        der = subprocess.run(["openssl", "x509", "-in", cert, "-outform", "DER"], stdout=subprocess.PIPE, check=True).stdout

        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")

        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {"iss": "test", "sub": user, "aud": asked["service"][0], "exp": now + 300, "nbf": now - 10, "iat": now, "jti": str(now),
                  "access": access}
        text = part(json.dumps(head).encode()) + b"." + part(json.dumps(claims).encode())
        sign = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text, stdout=subprocess.PIPE, check=True).stdout
        self.answer(200, json.dumps({"token": (text + b"." + part(sign)).decode()}).encode())


class Web(Handler):
    def serve(self):
        self.body()
        self.answer(200, b"<html>welcome</html>", Content_Type="text/html")


kinds = {"door": Door, "tokens": Tokens, "web": Web}
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), kinds[sys.argv[1]]).serve_forever()
