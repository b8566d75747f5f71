"""A real session: an aggregator, an agent in front of a small service, known events and requests.

Owns the processes and what is sent. Does not know how tables are read.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

START_SECONDS = 30
STOP_SECONDS = 15

# Time as sent, the same in microseconds since 1970. The second column is fixed, so that nothing here shares an error
# with a calendar library. Each list is one flush, so one version of the table.
TIMES = [
    [
        ("2026-11-20T08:15:30.123456Z", 1_795_162_530_123_456),
        ("2026-11-20T08:15:30.123457Z", 1_795_162_530_123_457),
        ("2026-11-20T23:59:59.999999Z", 1_795_219_199_999_999),
        ("2026-11-21T00:00:00Z", 1_795_219_200_000_000),
        ("2026-11-20T20:45:00.000001-04:00", 1_795_221_900_000_001),
    ],
    [
        # An hour that does not exist in Los Angeles, where the Spark session is.
        ("2026-03-08T02:30:00.000001Z", 1_772_937_000_000_001),
        ("2024-02-29T12:00:00.5Z", 1_709_208_000_500_000),
        ("2000-02-29T23:59:59.000001Z", 951_868_799_000_001),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1968-02-29T23:59:59.000001Z", -57_974_400_999_999),
    ],
    [
        ("1900-01-01T00:00:00.000001Z", -2_208_988_799_999_999),
        ("1899-12-31T23:59:59.999999Z", -2_208_988_800_000_001),
        ("1582-10-04T00:00:00Z", -12_220_243_200_000_000),
        ("1066-10-14T09:00:00.000007Z", -28_502_722_799_999_993),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
    ],
    [
        ("2299-12-31T23:59:59.999999Z", 10_413_791_999_999_999),
        ("2300-01-01T00:00:00.000001Z", 10_413_792_000_000_001),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ],
]

PROPERTIES = [
    {},
    {"plain": "text", "count": 3, "price": 9.99, "paid": True, "none": None},
    {"grüße": "Übermut", "日本語": "テスト", "emoji": "🚲🏔", "rtl": "שלום", "combining": "e\u0301"},
    {"quotes": "\"'`\\", "lines": "a\nb\tc\r\n", "nul": "\u0000", "nested": {"deep": [1, [2, {"three": 3}]]}},
    {"big": 9007199254740993, "negative": -9223372036854775808, "small": 1e-300, "empty": "", "list": []},
    None,
]


def event(number, sent_time):
    """An event whose fields are present and absent in a pattern of its number."""
    body = {
        "eventId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"reader event {number}")),
        "eventType": ["page_view", "order_placed", "größe"][number % 3],
        "timestamp": sent_time,
        "properties": PROPERTIES[number % len(PROPERTIES)],
    }
    if number % 2:
        body |= {"userId": f"user-{number % 5}", "sessionId": f"s{number}", "source": "shop"}
    if number % 3:
        body["context"] = {
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64)",
            "location": {"country": "CH", "city": "Zürich", "latitude": 47.3769 + number / 7, "longitude": -8.5417},
            "consent": {"analytics": number % 2 == 0},
        }
    return body


class Service(BaseHTTPRequestHandler):
    """The proxied service: answers, fails, and breaks off."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/broken"):
            self.close_connection = True
            return
        status = 503 if self.path.startswith("/fail") else 200
        body = b"hello" * 20
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Program:
    """One of our binaries, with the addresses that it announces on its first line."""

    def __init__(self, binary, arguments, log):
        self.name = os.path.basename(binary)
        self.log = open(log, "wb")
        # Settings of whoever runs this must not reach the programs.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RIDEALONG_")}
        self.process = subprocess.Popen(
            [binary, *arguments], stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment
        )
        watchdog = threading.Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        first = self.process.stdout.readline()
        watchdog.cancel()
        self.addresses = re.findall(r"http://([0-9.:]+)", first)
        if not self.addresses:
            self.stop()
            raise SystemExit(f"{self.name} did not start:\n{open(log).read()[-2000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Session:
    """Starts everything, fills the tables, stops all but the aggregator."""

    def __init__(self, binaries, folder):
        self.folder = folder
        self.sent = {}
        self.programs = []
        self.binaries = binaries
        self.requests = 0
        self.service = None

    def __enter__(self):
        try:
            self.run()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def run(self):
        self.service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
        threading.Thread(target=self.service.serve_forever, daemon=True).start()
        aggregator = self.start(
            "ridealong-aggregator",
            ["serve", "--data", f"{self.folder}/data", "--archive", f"{self.folder}/archive"]
            + ["--listen", "127.0.0.1:0"],
        )
        self.api = aggregator.addresses[0]
        agent = self.start(
            "ridealong-agent",
            ["run", "--service", "shop", "--environment", "test", "--upstream"]
            + [f"http://127.0.0.1:{self.service.server_port}", "--aggregator", f"http://{self.api}"]
            + ["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--host-interval", "1s"]
            + ["--spool", f"{self.folder}/spool"],
        )
        self.proxy, self.agent_api = agent.addresses
        for flush, times in enumerate(TIMES):
            self.send_events(times)
            self.send_requests(flush)
            time.sleep(1.2)  # so that the host is sampled
            self.post(self.agent_api, "/api/analytics/flush")
            self.post(self.api, "/api/analytics/flush")
        # A stop delivers the last summaries; then nothing moves any more.
        agent.stop()

    def start(self, name, arguments):
        program = Program(os.path.join(self.binaries, name), arguments, f"{self.folder}/{name}.log")
        self.programs.append(program)
        return program

    def send_events(self, times):
        events = [event(len(self.sent) + at, sent) for at, (sent, _) in enumerate(times)]
        answer = self.post(self.api, "/api/analytics/batch-track", {"events": events})
        assert answer["successfulEvents"] == len(events), answer
        for body, (_, micros) in zip(events, times):
            self.sent[body["eventId"]] = (micros, body)

    def send_requests(self, flush):
        connection = http.client.HTTPConnection(self.proxy, timeout=10)
        for number in range(30):
            kind = ["items", "fail", "users"][number % 3]
            headers = {"X-Request-ID": f"request-{flush}-{number}"} if number % 2 else {}
            connection.request("GET", f"/{kind}/{number}?flush={flush}", headers=headers)
            connection.getresponse().read()
            self.requests += 1
        connection.request("GET", "/broken")
        assert connection.getresponse().status == 502
        self.requests += 1
        connection.close()

    def tend(self):
        """Some events are deleted, one is corrected; files are written anew, merged, and old days archived."""
        ids = sorted(self.sent)
        for event_id in ids[:3]:
            self.post(self.api, f"/api/analytics/events/{event_id}", method="DELETE")
            del self.sent[event_id]
        micros, body = self.sent[ids[3]]
        change = {"properties": {"corrected": "ja, \u00fcberall"}}
        self.post(self.api, f"/api/analytics/events/{ids[3]}", change, "PATCH")
        properties = {**body.get("properties", {}), **change["properties"]}
        self.sent[ids[3]] = (micros, {**body, "properties": properties})
        self.post(self.api, "/api/analytics/flush")
        self.post(self.api, "/api/analytics/retention", {"requests": {}, "events": {"archiveAfter": "1d"}}, "PUT")
        for job in ("rewrite", "compact", "archive"):
            self.post(self.api, f"/api/analytics/jobs/{job}/run")

    def post(self, address, path, body=None, method="POST"):
        data = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{address}{path}", data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def query(self, sql):
        return self.post(self.api, "/api/analytics/query", {"sql": sql, "maxRows": 10_000, "timeoutMs": 30_000})

    def table(self, name):
        return f"{self.folder}/data/lake/default/{name}"

    def archive(self, name):
        return f"{self.folder}/archive/default/{name}"

    def close(self):
        for program in reversed(self.programs):
            program.stop()
        if self.service:
            self.service.shutdown()
            self.service.server_close()
