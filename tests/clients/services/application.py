"""A WSGI service for gunicorn: /echo answers what it got as JSON; /status/N; /stream/N sends N pieces in chunks."""

import hashlib
import json


def application(environment, start_response):
    method, target = environment["REQUEST_METHOD"], environment["RAW_URI"]
    _, kind, *rest = target.split("?")[0].split("/")
    if kind == "status":
        start_response(f"{rest[0]} Any", [("Content-Length", "0")])
        return []
    if kind == "stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"piece %d\n" % at for at in range(int(rest[0])))
    body = environment["wsgi.input"].read()
    headers = {
        key[5:].lower().replace("_", "-"): value for key, value in environment.items() if key.startswith("HTTP_")
    }
    said = {"method": method, "url": target, "headers": headers, "length": len(body)}
    said["sha256"] = hashlib.sha256(body).hexdigest()
    answer = json.dumps(said).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]
