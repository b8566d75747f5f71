"""Node's own clients: fetch, http with a keep-alive agent, http2, and the package `ws`; they run in node/."""

import json
import os
import subprocess

from programs import HERE
from session import check


def node(sent, script, kind, requests):
    """Runs a script with its plan (address and ids) on the standard input; it fails with a text."""
    plan = {
        "address": sent.proxy(kind),
        "ids": {key: [sent.expect(**facts) for _ in range(count)] for key, count, facts in requests},
    }
    environment = {**os.environ, "NODE_PATH": sent.session.services.node_modules}
    done = subprocess.run(
        ["node", f"{HERE}/node/{script}"],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@check("Node: fetch")
def fetch(sent):
    node(
        sent,
        "fetch.js",
        "node",
        [("get", 50, {}), ("upload", 5, {"request_bytes": 300_000}), ("missing", 1, {"status": 404})],
    )


@check("Node: http with kept connections")
def keep_alive(sent):
    node(sent, "keep_alive.js", "node", [("get", 200, {"protocol": "HTTP/1.1"}), ("trailers", 5, {}), ("hints", 1, {})])


@check("Node: http2 with prior knowledge")
def http_2(sent):
    node(
        sent,
        "http2.js",
        "node",
        [("get", 100, {"protocol": "HTTP/2"}), ("upload", 5, {"request_bytes": 300_000}), ("trailers", 1, {})],
    )


@check("ws: text, bytes, ping, close")
def websocket(sent):
    node(
        sent,
        "websocket.js",
        "node",
        [("echo", 5, {"status": 101}), ("close", 1, {"status": 101}), ("refused", 1, {"status": 401})],
    )
