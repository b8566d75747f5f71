"""Asks both engines, compares every column and row, and ends with the counts.

The other engine gets what was sent and the same changes; it never sees an answer of ours. Requests are the exception:
they come from `ridealong-load`, and the other engine reads their Parquet files.
"""

import argparse
import json
import math
import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from datetime import date, datetime
from decimal import Decimal

import duckdb
import rows
import statements

EVENTS = 4_000
REQUESTS = 20_000
# More differences are not printed.
SHOWN_MAX = 20
# While files change: steps, and events that come in each.
STEPS = 6
STEP_EVENTS = 150


class Aggregator:
    def __init__(self, binaries, folder):
        self.data = f"{folder}/data"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RIDEALONG_")}
        self.log = open(f"{folder}/aggregator.log", "wb")
        self.process = subprocess.Popen(
            [f"{binaries}/ridealong-aggregator", "serve", "--listen", "127.0.0.1:0", "--data", self.data],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )
        found = re.search(r"http://([0-9.:]+)", self.process.stdout.readline())
        assert found, "the aggregator did not start"
        self.address = found[1]

    def post(self, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        url = f"http://{self.address}/api/analytics/{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)

    def query(self, sql):
        return self.post("query", {"sql": sql, "maxRows": 10_000, "timeoutMs": 30_000})

    def flush(self):
        self.post("flush")

    def job(self, name):
        self.post(f"jobs/{name}/run")

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


class Other:
    def __init__(self):
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET threads = 2")
        columns = ", ".join(f"{name} {kind}" for name, kind in rows.COLUMNS.items())
        self.connection.execute(f"CREATE TABLE events ({columns})")

    def add(self, events):
        places = ", ".join("?" for _ in rows.COLUMNS)
        self.connection.executemany(f"INSERT INTO events VALUES ({places})", [rows.row(event) for event in events])

    def query(self, sql):
        cursor = self.connection.execute(sql)
        return [column[0] for column in cursor.description], cursor.fetchall()


class Both:
    """The two engines, with the same rows at every moment at which they are asked."""

    def __init__(self, ours, seed):
        self.ours, self.other = ours, Other()
        self.random = random.Random(seed)
        self.passed = self.failed = 0

    def add(self, count):
        events = rows.events(self.random, count)
        for at in range(0, count, 1_000):
            part = events[at : at + 1_000]
            answer = self.ours.post("batch-track", {"events": part})
            assert answer["successfulEvents"] == len(part), answer
        self.other.add(events)

    def delete(self, condition):
        done = self.ours.post("mutations", {"table": "events", "where": condition, "delete": True, "dryRun": False})
        gone = self.other.connection.execute(f"DELETE FROM events WHERE {condition}").fetchone()[0]
        self.count(f"DELETE WHERE {condition}", done["rows"] == gone, f"{done['rows']} rows, {gone}")

    def correct(self, condition, values):
        done = self.ours.post("mutations", {"table": "events", "where": condition, "set": values, "dryRun": False})
        assignments = ", ".join(f"{name} = ?" for name in values)
        update = f"UPDATE events SET {assignments} WHERE {condition}"
        changed = self.other.connection.execute(update, list(values.values())).fetchone()[0]
        self.count(f"SET {values} WHERE {condition}", done["rows"] == changed, f"{done['rows']} rows, {changed}")

    def compare(self, state, asked):
        for statement in asked:
            difference = self.difference(statement)
            self.count(f"{state}: {statement.ours}", difference is None, difference)

    def count(self, what, same, difference):
        self.passed += same
        self.failed += not same
        if not same and self.failed <= SHOWN_MAX:
            print(f"DIFFERENT, {what}\n    {difference}", flush=True)

    def difference(self, statement):
        try:
            answer = self.ours.query(statement.ours)
        except urllib.error.HTTPError as error:
            return f"{error.code} {error.read().decode()[:600]}"
        names, found = self.other.query(statement.theirs)
        if [column["name"] for column in answer["columns"]] != names:
            return f"columns {[column['name'] for column in answer['columns']]}, {names}"
        assert not answer["truncated"], statement.ours
        left = [[normal(value) for value in row.values()] for row in answer["data"]]
        right = [[normal(value) for value in row] for row in found]
        if len(left) != len(right):
            return f"{len(left)} rows, {len(right)}"
        if not is_ordered(statement.ours):
            left.sort(key=sort_key)
            right.sort(key=sort_key)
        for one, other in zip(left, right):
            if not all(same(a, b, statement.within) for a, b in zip(one, other)):
                return f"{one}\n    {other}"
        return None


def is_ordered(sql):
    """Whether the whole answer has an order: an ORDER BY outside of all parentheses."""
    depth, outside = 0, []
    for character in sql:
        depth += (character == "(") - (character == ")")
        outside.append(character if depth == 0 else " ")
    return "ORDER BY" in "".join(outside)


DAY_OR_TIME = re.compile(r"(-?\d{4,}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d\.\d{6})Z)?")


def normal(value):
    """A day is its midnight: the engines differ in which of the two some functions give."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")
    if isinstance(value, date):
        return f"{value.isoformat()} 00:00:00.000000"
    if isinstance(value, str) and (found := DAY_OR_TIME.fullmatch(value)):
        return f"{found[1]} {found[2] or '00:00:00.000000'}"
    if isinstance(value, Decimal):
        return float(value)
    return value


def sort_key(row):
    """Floats by their first digits, so that what counts as the same is sorted alike."""
    return [(value is None, type(value) is str, f"{value:.6g}" if isinstance(value, float) else str(value)) for value in row]


def same(one, other, within):
    numbers = (int, float)
    if isinstance(one, bool) or isinstance(other, bool) or not (isinstance(one, numbers) and isinstance(other, numbers)):
        return type(one) is type(other) and one == other
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    return math.isclose(one, other, rel_tol=within, abs_tol=1e-12)


class Churn:
    """Flushes, merges and writes files anew, over and over, until it is stopped."""

    def __init__(self, ours):
        self.ours, self.stopping, self.rounds, self.failure = ours, threading.Event(), 0, None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.ours.flush()
                self.ours.job("rewrite")
                self.ours.job("compact")
                self.rounds += 1
        except Exception as error:
            self.failure = error

    def stop(self):
        self.stopping.set()
        self.thread.join()
        if self.failure:
            raise self.failure


def load_requests(binaries, ours, other):
    """Requests as agents send them; the other engine reads the files that they were flushed to."""
    load = [f"{binaries}/ridealong-load", "batches", "--rows", str(REQUESTS), "--connections", "2"]
    load += ["--aggregator", f"http://{ours.address}", "--pid", str(ours.process.pid)]
    subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
    ours.flush()
    files = f"{ours.data}/lake/default/requests/*/*.parquet"
    other.connection.execute(f"CREATE TABLE requests AS SELECT * FROM read_parquet('{files}', hive_partitioning = false)")


def run(both, binaries):
    ours = both.ours
    both.add(EVENTS)
    load_requests(binaries, ours, both.other)  # which also flushes what has come so far
    both.compare("in files", statements.STATEMENTS + statements.DERIVED)
    both.add(EVENTS // 4)
    both.compare("in files and in memory", statements.STATEMENTS + statements.DERIVED)
    for condition in statements.DELETIONS[:3]:
        both.delete(condition)
    for correction in statements.CORRECTIONS[:3]:
        both.correct(*correction)
    both.compare("with changes pending", statements.STATEMENTS)
    ours.flush()
    ours.job("rewrite")
    ours.job("compact")
    both.compare("written anew and merged", statements.QUICK + statements.DERIVED)
    churn = Churn(ours)
    try:
        for step in range(STEPS):
            both.add(STEP_EVENTS)
            both.compare(f"while files change, step {step}", statements.QUICK)
            both.delete(statements.DELETIONS[step % len(statements.DELETIONS)])
            both.correct(*statements.CORRECTIONS[step % len(statements.CORRECTIONS)])
            both.compare(f"while files change, step {step}", statements.QUICK)
    finally:
        churn.stop()
    print(f"flushed, written anew and merged {churn.rounds} times meanwhile")
    ours.flush()
    ours.job("rewrite")
    both.compare("at the end", statements.STATEMENTS + statements.DERIVED)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binaries", required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.monotonic()
    folder = tempfile.mkdtemp(prefix="ridealong-differential-")
    ours = Aggregator(options.binaries, folder)
    try:
        both = Both(ours, options.seed)
        run(both, options.binaries)
    finally:
        ours.close()
    shutil.rmtree(folder)
    print(f"{len(statements.STATEMENTS + statements.DERIVED)} statements, seed {options.seed}, {time.monotonic() - begun:.0f} s")
    print(f"{both.passed} passed, {both.failed} failed")
    raise SystemExit(1 if both.failed else 0)


if __name__ == "__main__":
    main()
