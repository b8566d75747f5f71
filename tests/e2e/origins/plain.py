"""Python's own http.server, which writes down each request as it understood it: plain.py PORT LOG"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, LOG = int(sys.argv[1]), sys.argv[2]


def note(**line):
    with open(LOG, "a") as log:
        log.write(json.dumps(line) + "\n")


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        body, complete = self.body()
        note(method=self.command, target=self.path, body=body.decode("latin-1"), complete=complete)
        if not complete:
            self.close_connection = True
            return
        answer = f"{self.command} {self.path} {len(body)} bytes\n".encode("latin-1", "replace")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_TRACE = serve

    def body(self):
        """As people write it who must do it themselves: the first Content-Length, or chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            return body, len(body) == length
        body = b""
        while True:
            line = self.rfile.readline()
            if not line.endswith(b"\r\n"):
                return body, False
            size = int(line, 16)
            if size == 0:
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    pass
                return body, line == b"\r\n"
            chunk = self.rfile.read(size + 2)
            if len(chunk) < size + 2:
                return body + chunk[:size], False
            body += chunk[:size]

    def send_error(self, code, message=None, explain=None):
        note(refused=f"{code} {message}")
        super().send_error(code, message, explain)

    def log_message(self, *_):
        pass


ThreadingHTTPServer.request_queue_size = 1024
ThreadingHTTPServer(("127.0.0.1", PORT), Service).serve_forever()
