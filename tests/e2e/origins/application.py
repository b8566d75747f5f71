"""A WSGI service for gunicorn that writes down each request as it understood it, into the file of ORIGIN_LOG."""

import json
import os

from gunicorn.glogging import Logger as GunicornLogger


def note(**line):
    with open(os.environ["ORIGIN_LOG"], "a") as log:
        log.write(json.dumps(line) + "\n")


class Logger(GunicornLogger):
    """Tells of requests that gunicorn itself refuses."""

    def look(self, text):
        if str(text).startswith("Invalid request"):
            note(refused=str(text))

    def debug(self, text, *arguments, **options):
        self.look(text)
        super().debug(text, *arguments, **options)

    def warning(self, text, *arguments, **options):
        self.look(text)
        super().warning(text, *arguments, **options)


def application(environment, start_response):
    method, target = environment["REQUEST_METHOD"], environment["RAW_URI"]
    try:
        body = environment["wsgi.input"].read()
        complete = len(body) == int(environment.get("CONTENT_LENGTH") or len(body))
    except Exception:  # gunicorn has several for a body that breaks off
        body, complete = b"", False
    note(method=method, target=target, body=body.decode("latin-1"), complete=complete)
    answer = f"{method} {target} {len(body)} bytes\n".encode("latin-1", "replace")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [b"" if method == "HEAD" else answer]
