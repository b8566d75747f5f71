#!/usr/bin/env python3
"""Reads the aggregator's Delta tables with readers that know nothing of it, and compares with what SQL answers.

    readers.py --binaries DIR [--keep]

A real session fills the tables (session.py); then every reader (engines.py) must find the same counts, times in
microseconds, ids, nulls and values, row by row, as POST /api/analytics/query, and the events as they were sent. The
last line is `N passed, M failed`; the exit code is 0 when none failed.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import traceback

import engines
from facts import Rows
from session import Session

# Each table's columns of bytes.
TABLES = {
    "events": {"event_id"},
    "requests": {"event_id"},
    "host_metrics": set(),
    "request_summaries": {"duration_sketch"},
}
WIDTH = 44


class Report:
    """A line for each check, a column for each reader."""

    def __init__(self, names):
        self.names = names
        self.lines = {}
        self.faults = []

    def check(self, line, name, found, expected):
        good = found == expected
        self.lines.setdefault(line, {})[name] = "ok" if good else "DIFFERS"
        if not good:
            self.faults.append(f"{line}, {name}:\n    found    {shown(found)}\n    expected {shown(expected)}")

    def broke(self, line, name):
        self.lines.setdefault(line, {})[name] = "FAILED"
        self.faults.append(f"{line}, {name}:\n{traceback.format_exc(limit=3)[-1500:]}")

    def finish(self):
        print("".join([f"{'check':<{WIDTH}}"] + [f"{name:>12}" for name in self.names]))
        for line, results in self.lines.items():
            print("".join([f"{line:<{WIDTH}}"] + [f"{results.get(name, '-'):>12}" for name in self.names]))
        for fault in self.faults:
            print(f"\n{fault}")
        results = [result for line in self.lines.values() for result in line.values()]
        failed = sum(result != "ok" for result in results)
        print(f"\n{len(results) - failed} passed, {failed} failed")
        return failed == 0


def shown(value):
    """What differs may be long."""
    text = repr(value)
    return text if len(text) < 1_000 else f"{text[:1_000]} …"


def check_sent(report, name, rows, sent):
    """The events as they were sent: ids, times and properties, without asking our own SQL."""
    micros = dict(zip(rows.columns["event_id"], rows.columns["timestamp"]))
    properties = dict(zip(rows.columns["event_id"], rows.columns["properties"]))
    expected = {event_id.replace("-", ""): value for event_id, value in sent.items()}
    report.check("events: ids as sent", name, sorted(micros), sorted(expected))
    report.check("events: times as sent", name, micros, {event_id: value[0] for event_id, value in expected.items()})
    found = {event_id: None if text is None else json.loads(text) for event_id, text in properties.items()}
    report.check("events: properties as sent", name, found, {i: value[1].get("properties") for i, value in expected.items()})


def check_table(report, reader, session, table, expected, when=""):
    path, binary = session.table(table), TABLES[table]
    line = f"{table}{when}: "
    try:
        rows = Rows.of_arrow(reader.rows(path), binary)
    except Exception:
        report.broke(line + "reads", reader.name)
        return
    report.check(line + "rows", reader.name, rows.count(), expected.count())
    report.check(line + "min, max, sum of times", reader.name, rows.times(), expected.times())
    report.check(line + "nulls by column", reader.name, rows.nulls(), expected.nulls())
    if "event_id" in binary:
        report.check(line + "ids", reader.name, rows.ids(), expected.ids())
    report.check(line + "every value of every row", reader.name, rows.whole(), expected.whole())
    check_days(report, reader, path, line, expected)
    if table == "events":
        check_sent(report, reader.name, rows, session.sent)
        check_find(report, reader, path, session.sent)


def check_days(report, reader, path, line, expected):
    """The partition column, which is in no file, against the times."""
    try:
        answer = reader.days(path).to_pylist()
    except Exception:
        report.broke(line + "rows by day", reader.name)
        return
    days = {}
    for micros in expected.columns["timestamp"]:
        day = engines.text_of(micros)[:10]
        days[day] = days.get(day, 0) + 1
    report.check(line + "rows by day", reader.name, {row["day"]: row["rows"] for row in answer}, days)


def check_find(report, reader, path, sent):
    """Statistics are cut to milliseconds: no reader may skip the file of a time that lies after the cut."""
    line = "events: found by exact time"
    found, expected = {}, {}
    for event_id, (micros, _) in sent.items():
        expected.setdefault(micros, []).append(event_id.replace("-", ""))
    try:
        for micros in expected:
            found[micros] = Rows.of_arrow(reader.find(path, micros), {"event_id"}).ids()
    except Exception:
        report.broke(line, reader.name)
        return
    report.check(line, reader.name, found, {micros: sorted(ids) for micros, ids in expected.items()})


def check_tended(report, reader, session, expected):
    """After deletions, corrections, compaction and archiving: table and archive together are what SQL finds."""
    line = "events, tended: "
    binary = TABLES["events"]
    try:
        parts = [Rows.of_arrow(reader.rows(path), binary) for path in (session.table("events"), session.archive("events"))]
    except Exception:
        report.broke(line + "reads", reader.name)
        return
    report.check(line + "both sides have rows", reader.name, [part.count() > 0 for part in parts], [True, True])
    rows = Rows({name: sum((part.columns[name] for part in parts), []) for name in parts[0].columns})
    report.check(line + "every value of every row", reader.name, rows.whole(), expected.whole())
    found = {i: None if t is None else json.loads(t) for i, t in zip(rows.columns["event_id"], rows.columns["properties"])}
    sent = {i.replace("-", ""): body.get("properties") for i, (_, body) in session.sent.items()}
    report.check(line + "properties as sent and corrected", reader.name, found, sent)


def check_sql(report, session, answers):
    """Our own SQL is held to what was sent, too."""
    check_sent(report, "sql", answers["events"], session.sent)
    report.check("requests: rows as sent", "sql", answers["requests"].count(), session.requests)
    for table, rows in answers.items():
        report.check(f"{table}: has rows", "sql", rows.count() > 0, True)
    summed = session.query("select sum(count) as n from request_summaries")["data"][0]["n"]
    report.check("request_summaries: sum of counts", "sql", summed, session.requests)


def run(binaries, folder):
    readers = [reader() for reader in engines.ALL]
    report = Report(["sql", *(reader.name for reader in readers)])
    try:
        with Session(binaries, folder) as session:
            ask = lambda: {t: Rows.of_answer(session.query(f"select * from {t}"), TABLES[t]) for t in TABLES}
            # What is left lies in memory; once it lies in Delta, SQL must answer the same.
            in_memory = ask()
            session.post(session.api, "/api/analytics/flush")
            answers = ask()
            for table, rows in answers.items():
                report.check(f"{table}: as before the flush", "sql", rows.whole(), in_memory[table].whole())
            check_sql(report, session, answers)
            for reader in readers:
                for table, expected in answers.items():
                    check_table(report, reader, session, table, expected)
            session.tend()
            tended = ask()
            check_sent(report, "sql", tended["events"], session.sent)
            report.check("requests: as before they were merged", "sql", tended["requests"].whole(), answers["requests"].whole())
            for reader in readers:
                check_tended(report, reader, session, tended["events"])
                check_table(report, reader, session, "requests", tended["requests"], ", tended")
    finally:
        for reader in readers:
            reader.close()
    return report.finish()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binaries", required=True, help="folder with ridealong-agent and ridealong-aggregator")
    arguments.add_argument("--keep", action="store_true", help="keep the session's folder and print where it is")
    arguments = arguments.parse_args()
    folder = tempfile.mkdtemp(prefix="ridealong-readers-")
    # The readers leave files where they run.
    binaries = os.path.abspath(arguments.binaries)
    os.chdir(folder)
    passed = False
    try:
        passed = run(binaries, folder)
    finally:
        os.chdir("/")
        if arguments.keep:
            print(f"session kept in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
