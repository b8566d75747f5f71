"""The engines that `queries.py` asks: each in a process of its own, so that its processor time can be told from others'.

Ours is asked over HTTP, with all that a caller meets: planning, JSON, the socket. The others run in process, with two
threads, on Parquet files or on tables of their own, and hand over rows of Python.

    queries_engines.py ENGINE FOLDER OWN        reads one statement a line as JSON, answers one line each
"""

import json
import os
import resource
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import unquote

TABLES = ("requests", "events")
THREADS = 2


class Ours:
    """A running aggregator: processor time of all its threads, to the nanosecond."""

    def __init__(self, address, pid):
        self.address, self.pid = address, pid

    def ask(self, sql):
        before, begun = self.processor_time(), time.perf_counter()
        answer = self.answer(sql)
        wall = time.perf_counter() - begun
        return {"wall": wall, "cpu": self.processor_time() - before, "rows": [list(row.values()) for row in answer["data"]]}

    def answer(self, sql):
        body = json.dumps({"sql": sql, "timeoutMs": 30_000, "maxRows": 10_000}).encode()
        url = f"http://{self.address}/api/analytics/query"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{sql}\nwas answered {error.code}: {error.read().decode()[:2000]}") from None

    def processor_time(self):
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{task}/schedstat") as stat:
                    total += int(stat.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue  # It has ended: what it took is lost, and it had little to do.
        return total / 1e9


class Peer:
    """Another engine in a process of its own."""

    def __init__(self, engine, folder, own):
        here = os.path.abspath(__file__)
        self.process = subprocess.Popen(
            [sys.executable, here, engine, folder, own], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, sql):
        self.process.stdin.write(json.dumps(sql) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"an engine ended at: {sql}")
        return json.loads(line)

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # It has ended, and said why.
        self.process.wait(30)


def duckdb_engine(folder, own):
    import duckdb

    connection = duckdb.connect(own or ":memory:")
    connection.execute(f"SET threads = {THREADS}")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET parquet_metadata_cache = true")
    for table in TABLES:
        files = f"read_parquet('{folder}/{table}/*.parquet')"
        kind = "TABLE IF NOT EXISTS" if own else "VIEW"
        connection.execute(f"CREATE {kind} {table} AS SELECT * FROM {files}")
    return lambda sql: connection.execute(sql).fetchall()


def clickhouse_engine(folder, own):
    import chdb.session

    session = chdb.session.Session(own) if own else chdb.session.Session()
    run = lambda sql: session.query(sql, "JSONCompactEachRow")
    run("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
    run("USE bench")
    run(f"SET max_threads = {THREADS}, session_timezone = 'UTC', output_format_json_quote_64bit_integers = 0")
    sorted_by = {"requests": "(service, timestamp)", "events": "(event_type, timestamp)"}
    for table in TABLES:
        files = f"file('{folder}/{table}/*.parquet', Parquet)"
        if not own:
            run(f"CREATE VIEW IF NOT EXISTS bench.{table} AS SELECT * FROM {files}")
            continue
        if str(run(f"EXISTS bench.{table}")).strip() == "[1]":
            continue
        run(
            f"CREATE TABLE bench.{table} ENGINE = MergeTree PARTITION BY toDate(timestamp) ORDER BY {sorted_by[table]} "
            f"SETTINGS allow_nullable_key = 1 EMPTY AS SELECT * FROM {files}"
        )
        # As somebody who looks up ids would have it.
        run(f"ALTER TABLE bench.{table} ADD INDEX ids event_id TYPE bloom_filter GRANULARITY 1")
        run(f"INSERT INTO bench.{table} SELECT * FROM {files}")
        run(f"OPTIMIZE TABLE bench.{table} FINAL")
    return lambda sql: [json.loads(line) for line in str(run(sql)).splitlines()]


def plain(value):
    """What JSON can carry."""
    return value if value is None or isinstance(value, (bool, int, float, str, list)) else str(value)


def serve(engine, folder, own):
    run = {"duckdb": duckdb_engine, "clickhouse": clickhouse_engine}[engine](folder, own)
    for line in sys.stdin:
        sql = json.loads(line)
        before, begun = processor_time(), time.perf_counter()
        rows = run(sql)
        answer = {"wall": time.perf_counter() - begun, "cpu": processor_time() - before}
        answer["rows"] = [[plain(value) for value in row] for row in rows]
        print(json.dumps(answer), flush=True)


def processor_time():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def active_files(table):
    """The Parquet files of a Delta table's newest version: its last checkpoint, and the commits since."""
    log = f"{table}/_delta_log"
    files, first = set(), 0
    try:
        with open(f"{log}/_last_checkpoint") as last:
            first = json.load(last)["version"] + 1
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(f"{log}/{first - 1:020}.checkpoint.parquet", columns=["add"])
        files = {add["path"] for add in rows["add"].to_pylist() if add and add["path"]}
    except FileNotFoundError:
        pass
    for commit in sorted(name for name in os.listdir(log) if name.endswith(".json")):
        if int(commit.split(".")[0]) < first:
            continue
        for line in open(f"{log}/{commit}"):
            action = json.loads(line)
            if "add" in action:
                files.add(action["add"]["path"])
            if "remove" in action:
                files.discard(action["remove"]["path"])
    return sorted(unquote(file) for file in files)


if __name__ == "__main__":
    serve(*sys.argv[1:4])
