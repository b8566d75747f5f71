"""curl: HTTP/1.0, 1.1 and 2, uploads of every kind, what it waits for and what it is told first."""

import hashlib
import json
import re
import subprocess

from session import check

TIMEOUT_SECONDS = 60


def curl(*arguments, body=None):
    """What curl printed, and what it said with -v."""
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(TIMEOUT_SECONDS), *arguments]
    done = subprocess.run(command, input=body, capture_output=True, timeout=TIMEOUT_SECONDS + 10)
    assert done.returncode == 0, f"curl {arguments}: exit {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout, done.stderr.decode(errors="replace")


def name(sent, status=200, **columns):
    return ["-H", f"X-Request-ID: {sent.expect(status, **columns)}"]


@check("curl: HTTP/1.1")
def http_11(sent):
    said, spoken = curl("-v", *name(sent, protocol="HTTP/1.1"), sent.url("node", "/echo?a=b"))
    assert json.loads(said)["url"] == "/echo?a=b", said
    assert re.search("< x-response-time: [0-9.]+ms", spoken, re.I), spoken


@check("curl: HTTP/1.0")
def http_10(sent):
    said, spoken = curl("-v", "--http1.0", *name(sent, protocol="HTTP/1.0"), sent.url("node", "/echo"))
    assert json.loads(said)["method"] == "GET"
    chunks, _ = curl("--http1.0", *name(sent), sent.url("node", "/trailers"))
    assert chunks == b"first, second\n", "without chunks the end of the connection is the end"


@check("curl: HTTP/2 with prior knowledge")
def http_2(sent):
    said, spoken = curl("-v", "--http2-prior-knowledge", *name(sent, protocol="HTTP/2"), sent.url("node", "/echo"))
    assert "HTTP/2 200" in spoken and json.loads(said)["method"] == "GET", spoken
    body = b"x" * 3_000_000
    said, _ = curl(
        "--http2-prior-knowledge",
        *name(sent, request_bytes=len(body)),
        "--data-binary",
        "@-",
        sent.url("node", "/echo"),
        body=body,
    )
    assert json.loads(said)["sha256"] == hashlib.sha256(body).hexdigest()
    said, _ = curl("--http2-prior-knowledge", *name(sent, response_bytes=2_000_000), sent.url("node", "/bytes/2000000"))
    assert len(said) == 2_000_000


@check("curl: HTTP/2, many at once on one connection")
def http_2_parallel(sent):
    arguments = ["--parallel", "--parallel-immediate", "--http2-prior-knowledge"]
    for at in range(20):
        after = ["--next", "--http2-prior-knowledge", "--silent", "--noproxy", "*"] if at else []
        arguments += [*after, *name(sent, protocol="HTTP/2"), sent.url("node", f"/bytes/{at + 1}")]
    said, _ = curl(*arguments)
    assert len(said) == sum(range(1, 21)), len(said)


@check("curl: the offer of h2c by upgrade is not taken up")
def h2c_upgrade(sent):
    said, spoken = curl("-v", "--http2", *name(sent, protocol="HTTP/1.1"), sent.url("node", "/echo"))
    heard = json.loads(said)["headers"]
    assert "upgrade" not in heard and "http2-settings" not in heard, heard


@check("curl: chunked upload")
def chunked(sent):
    body = bytes(range(256)) * 10_000
    arguments = ["-H", "Transfer-Encoding: chunked", "-H", "Expect:", "--data-binary", "@-"]
    for kind in ["node", "gunicorn"]:
        said, _ = curl(*arguments, *name(sent, request_bytes=len(body)), sent.url(kind, "/echo"), body=body)
        assert json.loads(said)["sha256"] == hashlib.sha256(body).hexdigest()


@check("curl: waits for 100 before a large body")
def expect(sent):
    body = b"y" * 1_500_000
    for kind in ["node", "gunicorn"]:
        said, spoken = curl(
            "-v", *name(sent, request_bytes=len(body)), "--data-binary", "@-", sent.url(kind, "/echo"), body=body
        )
        assert "> Expect: 100-continue" in spoken and "< HTTP/1.1 100" in spoken, spoken
        assert json.loads(said)["length"] == len(body)


@check("curl: does not send a body that the service refuses beforehand")
def refused_beforehand(sent):
    body = b"z" * 1_500_000
    arguments = [
        "-v",
        "--expect100-timeout",
        "20",
        "--data-binary",
        "@-",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_upload}",
    ]
    said, spoken = curl(*arguments, *name(sent, 413, request_bytes=0), sent.url("node", "/refuse"), body=body)
    assert said == b"413 0", (said, spoken)


@check("curl: trailers of a response")
def trailers(sent):
    said, _ = curl("--include", "--raw", *name(sent), "-H", "TE: trailers", sent.url("node", "/trailers"))
    assert said.lower().endswith(b"0\r\nx-sum: abc\r\nx-other: def\r\n\r\n"), said
    said, spoken = curl(
        "-v", "--http2-prior-knowledge", *name(sent), "-H", "TE: trailers", sent.url("node", "/trailers")
    )
    assert said == b"first, second\n" and "< x-sum: abc" in spoken.lower(), spoken


@check("curl: early hints")
def hints(sent):
    said, spoken = curl("-v", *name(sent), sent.url("node", "/hints"))
    assert "< HTTP/1.1 103" in spoken and "rel=preload" in spoken and json.loads(said), spoken
    _, spoken = curl("-v", "--http1.0", *name(sent), sent.url("node", "/hints"))
    assert "103" not in spoken.replace("Response-Time", ""), spoken


@check("curl: HEAD, 204, 304, errors")
def without_body(sent):
    said, _ = curl("--head", *name(sent, method="HEAD", response_bytes=0), sent.url("node", "/bytes/1000"))
    assert said.startswith(b"HTTP/1.1 200") and said.endswith(b"\r\n\r\n")
    for status in [204, 304, 404, 500, 503]:
        said, _ = curl("-w", "%{http_code}", *name(sent, status), sent.url("node", f"/status/{status}"))
        assert said == str(status).encode(), said


@check("curl: several requests on one connection, in each order of bodies")
def one_connection(sent):
    arguments = []
    for at, data in enumerate([None, "abc", None, "", "defg"]):
        arguments += [
            *(["--next", "--silent"] if at else []),
            "-v",
            *name(sent),
            "-o",
            "/dev/null",
            "-w",
            "%{num_connects}\n",
        ]
        arguments += [*([] if data is None else ["--data-binary", data]), sent.url("node", "/echo")]
    said, _ = curl(*arguments)
    assert said.split() == [b"1", b"0", b"0", b"0", b"0"], said


@check("curl: a service on a unix socket")
def unix_socket(sent):
    said, _ = curl(*name(sent), "-H", "Host: shop.test", sent.url("unix", "/echo"))
    assert json.loads(said)["headers"]["host"] == "shop.test"
    for at in range(20):
        curl(*name(sent), "--data-binary", "x" * at, sent.url("unix", "/echo"))
