"""h2load and wrk: many requests in a short time, every one of them a row."""

import re
import subprocess

from session import check

REQUESTS = 5_000
SECONDS, CONNECTIONS = 3, 16


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def h2load(sent, path, *options):
    said = run("h2load", "-n", str(REQUESTS), "-c", "10", *options, sent.url("nginx", path))
    assert f"{REQUESTS} succeeded, 0 failed" in said and f"status codes: {REQUESTS} 2xx" in said, said
    sent.expect_count(path, REQUESTS, REQUESTS)


@check("h2load: HTTP/2, ten streams on each of ten connections")
def http_2(sent):
    h2load(sent, "/h2load-2", "-m", "10")


@check("h2load: HTTP/1.1")
def http_1(sent):
    h2load(sent, "/h2load-1", "--h1")


@check("h2load: HTTP/1.1, pipelined")
def pipelined(sent):
    h2load(sent, "/h2load-1-pipelined", "--h1", "-m", "4")


@check("wrk: HTTP/1.1")
def wrk(sent):
    said = run("wrk", f"-d{SECONDS}s", "-t1", f"-c{CONNECTIONS}", sent.url("nginx", "/wrk"))
    answered = int(re.search(r"(\d+) requests in", said).group(1))
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    # At its end wrk leaves with a request under way on each connection.
    sent.expect_count("/wrk", answered, answered + CONNECTIONS)
