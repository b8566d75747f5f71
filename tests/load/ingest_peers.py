"""The same events into the ClickHouse engine and DuckDB, in process: no HTTP, no check, no enrichment, no search for
repeats. Each INSERT is one batch of 4,000 rows that lies in memory as Arrow, or one text of 500 JSON rows, made before
the clock starts. `durable` says whether an INSERT that returned survives a loss of power as the engine is set up here.

    ingest_peers.py EVENTS.ndjson       written by `ridealong-load batches --kind events --save EVENTS.ndjson`
"""

import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

BATCH_ROWS = 4_000
JSON_ROWS = 500
TEXTS = (
    "event_id event_type event_category user_id session_id properties user_agent ip_address referrer source version "
    "environment"
).split()


def rows_of(file):
    """Events as they were sent, as rows of one flat table."""
    for line in open(file, encoding="utf-8"):
        event = json.loads(line)
        context = event["context"]
        yield {
            "event_id": event["eventId"],
            "timestamp": event["timestamp"].rstrip("Z").replace("T", " "),
            "event_type": event["eventType"],
            "event_category": event["eventCategory"],
            "user_id": event["userId"],
            "session_id": event["sessionId"],
            "properties": json.dumps(event["properties"], separators=(",", ":")),
            "user_agent": context["userAgent"],
            "ip_address": context["ipAddress"],
            "referrer": context["referrer"],
            "source": event["source"],
            "version": event["version"],
            "environment": event["environment"],
        }


def cut(rows, count):
    return [rows[at : at + count] for at in range(0, len(rows), count)]


def arrow(rows):
    columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in TEXTS}
    times = pa.array([row["timestamp"] for row in rows]).cast(pa.timestamp("us"))
    return pa.table({"timestamp": times, **columns})


def processor_time():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def size_of(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


class ClickHouse:
    """MergeTree as it comes, or with every INSERT synced."""

    def __init__(self, folder, durable):
        import chdb.session

        self.name, self.durable = "ClickHouse engine", durable
        self.session = chdb.session.Session(str(folder))
        texts = ", ".join(f"{name} String" for name in TEXTS)
        settings = "fsync_after_insert = 1, fsync_part_directory = 1" if durable else "index_granularity = 8192"
        self.session.query("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
        self.session.query(
            f"CREATE TABLE bench.events (timestamp DateTime64(6), {texts}) ENGINE = MergeTree "
            f"PARTITION BY toDate(timestamp) ORDER BY (event_type, timestamp) SETTINGS {settings}"
        )

    def insert_arrow(self, batch):
        # The engine finds the name of a Python variable.
        globals()["the_batch"] = batch
        names = ", ".join(["timestamp", *TEXTS])
        self.session.query(f"INSERT INTO bench.events ({names}) SELECT {names} FROM Python(the_batch)")

    def insert_json(self, text):
        self.session.query(f"INSERT INTO bench.events FORMAT JSONEachRow {text}")

    def count(self):
        return int(str(self.session.query("SELECT count() FROM bench.events", "CSV")).strip())

    def close(self):
        self.session.close()


class DuckDb:
    """A database in a file: each INSERT is a transaction, its log synced."""

    def __init__(self, folder, durable):
        import duckdb

        self.name, self.durable = "DuckDB", durable
        self.connection = duckdb.connect(str(folder / "events.duckdb"))
        self.connection.execute("SET threads = 2")
        texts = ", ".join(f"{name} VARCHAR" for name in TEXTS)
        self.connection.execute(f"CREATE TABLE events (timestamp TIMESTAMP, {texts})")
        self.folder = folder

    def insert_arrow(self, the_batch):
        self.connection.execute("INSERT INTO events SELECT * FROM the_batch")

    def insert_json(self, text):
        # It reads JSON from files.
        file = self.folder / "rows.ndjson"
        file.write_text(text, encoding="utf-8")
        names = ", ".join(["timestamp", *TEXTS])
        self.connection.execute(f"INSERT INTO events ({names}) SELECT {names} FROM read_json('{file}')")

    def count(self):
        return self.connection.execute("SELECT count(*) FROM events").fetchone()[0]

    def close(self):
        self.connection.close()


def measure(make, durable, how, batches, rows):
    folder = Path(tempfile.mkdtemp(prefix="ridealong-peer-"))
    try:
        peer = make(folder, durable)
        insert = peer.insert_arrow if how == "Arrow" else peer.insert_json
        slowest, cpu, started = 0.0, processor_time(), time.perf_counter()
        for batch in batches:
            begun = time.perf_counter()
            insert(batch)
            slowest = max(slowest, time.perf_counter() - begun)
        took, cpu = time.perf_counter() - started, processor_time() - cpu
        found = peer.count()
        peer.close()
        assert found == rows, f"{peer.name}: {rows} rows inserted, {found} found"
        return [
            peer.name,
            how,
            "yes" if durable else "no",
            f"{rows:,}",
            f"{rows / took:,.0f}",
            f"{cpu * 1e6 / rows:.2f}",
            f"{slowest * 1e3:.0f}",
            f"{size_of(folder) / rows:.0f}",
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    rows = list(rows_of(sys.argv[1]))
    few = rows[: len(rows) // 5]
    batches = [arrow(part) for part in cut(rows, BATCH_ROWS)]
    texts = ["\n".join(json.dumps(row) for row in part) for part in cut(few, JSON_ROWS)]
    table = [["engine", "input", "durable", "rows", "rows/s", "CPU-s a million", "slowest, ms", "bytes a row on disk"]]
    for make, durable in [(DuckDb, True), (ClickHouse, False), (ClickHouse, True)]:
        table.append(measure(make, durable, "Arrow", batches, len(rows)))
        table.append(measure(make, durable, "JSON", texts, len(few)))
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    for row in table:
        cells = [cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    main()
