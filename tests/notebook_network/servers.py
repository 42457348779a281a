"""Small servers on loopback that speak what notebooks' clients speak: HTTP with ranges (a package index, a raster),
SMTP, PostgreSQL. Prints their ports as one line of JSON and serves until its standard input closes.
"""

import hashlib
import http.server
import io
import json
import os
import socketserver
import struct
import sys
import tempfile
import threading
import zipfile

import numpy
import rasterio


def wheel():
    record = "tiny/__init__.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\ntiny-1.0.dist-info/RECORD,,\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("tiny/__init__.py", "SIZE = 'tiny'\n")
        file.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        file.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tiny-1.0.dist-info/RECORD", record)
    return content.getvalue()


def raster():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rivers.tif")
        values = numpy.full((1, 64, 64), 42, dtype="uint8")
        with rasterio.open(path, "w", driver="GTiff", width=64, height=64, count=1, dtype="uint8") as file:
            file.write(values)
        with open(path, "rb") as file:
            return file.read()


NAME = "tiny-1.0-py3-none-any.whl"
FILES = {"/rivers.tif": raster(), f"/files/{NAME}": wheel(), "/hello": b"hello"}
DIGEST = hashlib.sha256(FILES[f"/files/{NAME}"]).hexdigest()
FILES["/simple/tiny/"] = f'<html><body><a href="/files/{NAME}#sha256={DIGEST}">{NAME}</a></body></html>'.encode()


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        content = FILES.get(self.path)
        if content is None:
            return self.send_error(404)
        wanted, whole = self.headers.get("Range"), len(content)
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            first, last = int(first), min(int(last or whole - 1), whole - 1)
            content = content[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        else:
            self.send_response(200)
        kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda line: self.wfile.write(line.encode() + b"\r\n")
        say("220 mail")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                say("354 go on")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                say("250 taken")
            elif word == b"QUIT":
                return say("221 bye")
            else:
                say("250 ok")


class Database(socketserver.StreamRequestHandler):
    """Enough of PostgreSQL's protocol (version 3) for one simple query."""

    def say(self, kind, body):
        self.wfile.write(kind + struct.pack("!I", len(body) + 4) + body)

    def handle(self):
        while True:
            (length,) = struct.unpack("!I", self.rfile.read(4))
            code = struct.unpack("!I", self.rfile.read(length - 4)[:4])[0]
            if code == 196608:
                break
            self.wfile.write(b"N")  # No TLS, no GSSAPI.
        self.say(b"R", struct.pack("!I", 0))
        for name, value in (("server_version", "16.0"), ("client_encoding", "UTF8"), ("server_encoding", "UTF8"),
                            ("standard_conforming_strings", "on")):
            self.say(b"S", f"{name}\0{value}\0".encode())
        self.say(b"Z", b"I")
        while kind := self.rfile.read(1):
            (length,) = struct.unpack("!I", self.rfile.read(4))
            self.rfile.read(length - 4)
            if kind == b"Q":
                self.say(b"T", struct.pack("!H", 1) + b"answer\0" + struct.pack("!IHIhiH", 0, 0, 25, -1, -1, 0))
                self.say(b"D", struct.pack("!HI", 1, 2) + b"42")
                self.say(b"C", b"SELECT 1\0")
                self.say(b"Z", b"I")
            elif kind == b"X":
                return


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


ports = {}
for name, handler in (("web", Web), ("mail", Mail), ("database", Database), ("unlisted", Web)):
    server = Server(("127.0.0.1", 0), handler)
    ports[name] = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps(ports), flush=True)
sys.stdin.read()
