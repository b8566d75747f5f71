"""One aggregator, and an agent before each service that a check asks for; what was sent, and whether SQL finds it.

A check tells with `expect` which requests it sends; when all checks have run, each of their requests must be found exactly
once, with the status that its client saw.
"""

import itertools
import json
import traceback
import urllib.request

from programs import Failed, ours

CHECKS = []
# gRPC's own status has a column of its own in builds that read trailers.
OPTIONAL_COLUMNS = {"grpc_status"}


def check(name):
    """Registers a check; its function takes a `Sent`."""

    def register(function):
        CHECKS.append((name, function))
        return function

    return register


class Sent:
    """What one check sends: where to, under which ids, and what SQL must say of it."""

    def __init__(self, session, number):
        self.session, self.number = session, number
        self.counter = itertools.count()
        self.expected = {}
        self.counts = []

    def proxy(self, kind):
        """`host:port` of the agent before a service of this kind."""
        return self.session.proxy(kind)

    def url(self, kind, path):
        return f"http://{self.proxy(kind)}{path}"

    def expect(self, status=200, **columns):
        """The id of a request that is going to be sent; `status` may be a set, None in it for a row without one."""
        name = f"check-{self.number}-{next(self.counter)}"
        self.expected[name] = {"status": status, **columns}
        return name

    def headers(self, status=200, **columns):
        return {"X-Request-ID": self.expect(status, **columns)}

    def expect_count(self, path, low, high):
        """So many rows with this path, each once: for clients that take no header per request."""
        self.counts.append((path, low, high))


class Session:
    def __init__(self, binaries, folder, services):
        self.binaries, self.folder, self.services = binaries, folder, services
        self.agents, self.programs = {}, []
        aggregator, addresses = ours(
            binaries, "ridealong-aggregator", ["serve", "--data", f"{folder}/data", "--listen", "127.0.0.1:0"], folder
        )
        self.programs.append(aggregator)
        self.api = addresses[0]

    def proxy(self, kind):
        if kind not in self.agents:
            upstream = self.services.url(kind)
            arguments = ["run", "--service", kind, "--upstream", upstream, "--aggregator", f"http://{self.api}"]
            arguments += ["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--spool", "spool"]
            agent, addresses = ours(self.binaries, "ridealong-agent", arguments, f"{self.folder}/agent-{kind}")
            self.programs.append(agent)
            self.agents[kind] = addresses
        return self.agents[kind][0]

    def run(self, only):
        """Every check, then what SQL says of each: (name, fault or None)."""
        done = []
        for number, (name, function) in enumerate(CHECKS):
            if only and only not in name:
                continue
            sent = Sent(self, number)
            done.append((name, sent))
            yield name, self.attempt(lambda: function(sent))
        for proxy, api in self.agents.values():
            self.post(api, "/api/analytics/flush")
        columns = set(self.query("SELECT * FROM requests LIMIT 1")["data"][0]) if self.agents else set()
        for name, sent in done:
            if sent.expected or sent.counts:
                yield f"{name}: found by SQL", self.attempt(lambda: self.found(sent, columns))

    @staticmethod
    def attempt(function):
        try:
            function()
        except Failed as failed:
            return str(failed)
        except AssertionError as failed:
            frame = traceback.extract_tb(failed.__traceback__)[-1]
            return f"{frame.name}:{frame.lineno}: {frame.line} {failed}"
        except Exception:
            return traceback.format_exc(limit=-4)

    def found(self, sent, columns):
        for path, low, high in sent.counts:
            row = self.query(
                f"SELECT count(*) AS n, count(distinct event_id) AS ids FROM requests WHERE path = '{path}'"
            )
            counted = row["data"][0]
            assert counted["n"] == counted["ids"], f"{path}: {counted}"
            assert low <= counted["n"] <= high, f"{path}: {counted}, expected {low} to {high}"
        rows = {}
        sql = f"SELECT * FROM requests WHERE request_id LIKE 'check-{sent.number}-%'"
        for row in self.query(sql)["data"]:
            rows.setdefault(row["request_id"], []).append(row)
        faults = [fault for name, facts in sent.expected.items() for fault in wrong(name, facts, rows, columns)]
        faults += [f"{name} was never sent" for name in rows if name not in sent.expected]
        assert not faults, f"{len(faults)} of {len(sent.expected)}: " + "; ".join(faults[:5])

    def post(self, address, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{address}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def query(self, sql):
        return self.post(self.api, "/api/analytics/query", {"sql": sql, "maxRows": 10_000, "timeoutMs": 30_000})

    def close(self):
        for program in reversed(self.programs):
            program.stop()


def wrong(name, facts, rows, columns):
    found = rows.get(name, [])
    if len(found) != 1:
        return [f"{name} {facts}: {len(found)} rows"]
    faults = []
    for column, value in facts.items():
        if column in OPTIONAL_COLUMNS and column not in columns:
            continue
        got = found[0][column]
        allowed = value if isinstance(value, (set, frozenset)) else {value}
        if got not in allowed:
            faults.append(f"{name}: {column} is {got!r}, not {value!r}")
    return faults
