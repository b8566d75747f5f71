"""The race between a request and a service that closes an idle connection.

    keepalive.py --agent BINARY [--requests 20000] [--burst 250]

Each lane is a service, its keep-alive timeout, and an agent before it. Bursts of requests (sent on a schedule, not when the
last were answered, so nothing slows them down) open as many connections to the service; then all rest for a time drawn
around the timeout of the service or the agent's own, and the next burst comes when the connections are being closed. A
lane passes when each GET got its 200. Ends with "N passed, M failed".
"""

import argparse
import asyncio
import collections
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

PATIENCE_SECONDS = 30
# Requests of a burst start within so many seconds of each other.
SPREAD_SECONDS = 0.02
AGENT_IDLE_SECONDS = 2.0

NODE = """
const server = require('http').createServer((request, response) => setTimeout(() => response.end('ok'), 20));
server.keepAliveTimeout = Number(process.argv[2]);
server.keepAliveTimeoutBuffer = 0;
server.listen(Number(process.argv[1]), '127.0.0.1', 4096);
"""
WSGI = """
import time

def application(environment, start_response):
    time.sleep(0.005)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
NGINX = """
daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  keepalive_timeout {seconds}s; keepalive_requests 100000;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "ok"; }} }}
}}
"""

# Service, its timeout in seconds, whether the agent keeps connections for longer than the service does.
LANES = [
    ("node", 5.0, False),
    ("node", 1.0, False),
    ("node", 1.0, True),
    ("gunicorn", 2.0, False),
    ("gunicorn", 2.0, True),
    ("nginx", 1.0, False),
    ("nginx", 1.0, True),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(service, timeout, port, folder):
    if service == "node":
        return ["node", "-e", NODE, str(port), str(int(timeout * 1000))]
    if service == "nginx":
        with open(f"{folder}/nginx.conf", "w") as out:
            out.write(NGINX.format(seconds=int(timeout), port=port))
        return ["nginx", "-p", folder, "-c", "nginx.conf", "-e", "error.log"]
    with open(f"{folder}/service.py", "w") as out:
        out.write(WSGI)
    options = ["--worker-class", "gthread", "--threads", "64", "--keep-alive", str(int(timeout)), "--backlog", "4096"]
    return [
        "gunicorn",
        "--bind",
        f"127.0.0.1:{port}",
        "--chdir",
        folder,
        *options,
        "--worker-connections",
        "4000",
        "service:application",
    ]


class Lane:
    def __init__(self, service, timeout, agent_keeps_longer, agent, folder):
        self.service, self.timeout, self.keeps_longer = service, timeout, agent_keeps_longer
        self.folder = folder
        os.makedirs(folder)
        self.children, self.seen = [], collections.Counter()
        self.port = free_port()
        self.start(command(service, timeout, self.port, folder))
        self.await_port(self.port)
        run = [
            agent,
            "run",
            "--service",
            "race",
            "--upstream",
            f"http://127.0.0.1:{self.port}",
            "--listen",
            "127.0.0.1:0",
        ]
        run += ["--api-listen", "127.0.0.1:0", "--aggregator", "http://127.0.0.1:9", "--spool", f"{folder}/spool"]
        run += ["--upstream-idle", "30s"] if agent_keeps_longer else []
        first = self.start(run, stdout=subprocess.PIPE).stdout.readline()
        self.proxy, self.api = [part.split(",")[0].split()[0] for part in first.split("http://")[1:]]

    def start(self, words, stdout=subprocess.DEVNULL):
        log = open(f"{self.folder}/log", "ab")
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=log, text=True, cwd=self.folder)
        self.children.append(child)
        return child

    def await_port(self, port):
        begun = time.monotonic()
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert time.monotonic() - begun < PATIENCE_SECONDS, f"{self.service} does not listen"
            time.sleep(0.05)

    def rest(self, chance):
        """Mostly close to a moment at which somebody closes, sometimes anything."""
        kind = chance.random()
        if kind < 0.55:
            return max(0.0, self.timeout + chance.uniform(-0.06, 0.06))
        if kind < 0.8:
            return AGENT_IDLE_SECONDS + chance.uniform(-0.06, 0.06)
        return chance.uniform(0.0, self.timeout + 0.5)

    async def run(self, requests, burst, seed):
        chance = random.Random(seed)
        host, port = self.proxy.split(":")
        clients = [Client(host, int(port), self.seen) for _ in range(burst)]
        sent = 0
        while sent < requests:
            # The schedule of a burst does not wait for its answers; only the next one waits, so that all can rest.
            bursts = [client.get(chance.uniform(0.0, SPREAD_SECONDS)) for client in clients]
            await asyncio.gather(*bursts)
            sent += len(bursts)
            await asyncio.sleep(self.rest(chance))
        for client in clients:
            client.close()

    def counted_by_agent(self):
        with urllib.request.urlopen(f"http://{self.api}/api/analytics/stats", timeout=10) as answer:
            return json.load(answer).get("proxy", {})

    def stop(self):
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children = []


class Client:
    """One kept connection to the agent."""

    def __init__(self, host, port, seen):
        self.host, self.port, self.seen = host, port, seen
        self.reader = self.writer = None

    async def get(self, after):
        await asyncio.sleep(after)
        try:
            self.seen[await asyncio.wait_for(self.status(), PATIENCE_SECONDS)] += 1
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            self.seen[type(error).__name__] += 1
            self.close()

    async def status(self):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        self.writer.write(b"GET /race HTTP/1.1\r\nHost: race.test\r\n\r\n")
        head = await self.reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        if fields.get(b"transfer-encoding") == b"chunked":
            await self.reader.readuntil(b"0\r\n\r\n")
        else:
            await self.reader.readexactly(int(fields.get(b"content-length", 0)))
        if fields.get(b"connection") == b"close":
            self.close()
        return int(head.split()[1])

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


async def run_all(lanes, requests, burst, seed):
    each = -(-requests // len(lanes))
    await asyncio.gather(*(lane.run(each, burst, seed + at) for at, lane in enumerate(lanes)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--burst", type=int, default=250)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="ridealong-keepalive-")
    lanes, passed, failed = [], 0, 0
    print(f"{options.requests} requests in bursts of {options.burst}, seed {options.seed}")
    try:
        for at, (service, timeout, longer) in enumerate(LANES):
            lanes.append(Lane(service, timeout, longer, os.path.abspath(options.agent), f"{folder}/{at}"))
        asyncio.run(run_all(lanes, options.requests, options.burst, options.seed))
        print(
            f"{'service':10} {'closes after':>12} {'agent keeps':>12} {'requests':>9} {'200':>9} {'502':>5} {'other':>6} {'connections':>12} {'retries':>8}"
        )
        for lane in lanes:
            total, good, bad = sum(lane.seen.values()), lane.seen[200], lane.seen[502]
            fine = good == total and total > 0
            passed, failed = passed + fine, failed + (not fine)
            agent = lane.counted_by_agent()
            keeps = "30 s" if lane.keeps_longer else "as usual"
            print(
                f"{lane.service:10} {lane.timeout:10.0f} s {keeps:>12} {total:9} {good:9} {bad:5} {total - good - bad:6}"
                f" {agent.get('upstreamConnections', 0):12} {agent.get('upstreamRetries', 0):8}"
                f"{'' if fine else '  FAILED ' + str(dict(lane.seen))}"
            )
    finally:
        for lane in lanes:
            lane.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
