"""Times questions that people ask of telemetry; the figures and how to read them are in README.md.

Each round asks each question of each engine, in an order that turns, after one round that warms. Statements differ by a
comment from round to round, so that no engine answers from a cache of answers. The machine may be busy: processor time
and the least of the rounds are the firm figures.
"""

import argparse
import hashlib
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from datetime import datetime, timedelta

from queries_engines import TABLES, Ours, Peer, active_files

ENGINES = ("ours", "duckdb, parquet", "clickhouse, parquet", "duckdb, own", "clickhouse, own")
PARQUET, OWN = ENGINES[1:3], ENGINES[3:5]
QUANTILES = (0.5, 0.95, 0.99)
# Of the sketch's answer from the true value of its rank.
SKETCH_ERROR = 0.01


def questions(facts):
    """Letter, name, and the statement of ours, DuckDB and ClickHouse; one where they agree."""
    hour = f"timestamp >= '{facts['hour']}' AND timestamp < '{facts['hour_end']}'"
    day = f"timestamp >= '{facts['day']}' AND timestamp < '{facts['day_end']}'"
    compact_id = facts["event_id"].replace("-", "")

    def percentiles(minute, values):
        return (
            f"SELECT {minute} AS minute, {values} FROM requests "
            f"WHERE service = 'shop' AND {hour} GROUP BY 1 ORDER BY 1"
        )

    routes = (
        "SELECT route, count(*) AS n, avg(CASE WHEN status >= 500 THEN 1.0 ELSE 0.0 END) AS error_rate "
        f"FROM requests WHERE {day} GROUP BY route ORDER BY n DESC, route"
    )
    users = "SELECT user_id, count(*) AS n FROM events GROUP BY user_id ORDER BY n DESC, user_id LIMIT 10"
    sessions = (
        "SELECT date_trunc('day', timestamp) AS day, count(DISTINCT session_id) AS n FROM events GROUP BY 1 ORDER BY 1"
    )
    types = (
        "SELECT event_type, date_trunc('hour', timestamp) AS hour, count(*) AS n FROM events "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )

    def properties(path, price):
        return (
            f"SELECT {path} AS path, count(*) AS n, avg({price}) AS price FROM events "
            "WHERE event_type = 'product_viewed' GROUP BY 1 ORDER BY n DESC, path LIMIT 20"
        )

    newest = "FROM requests WHERE service = 'shop' ORDER BY timestamp DESC LIMIT 100"
    return [
        (
            "a",
            "percentiles a minute, one service, an hour",
            percentiles(
                "date_trunc('minute', timestamp)",
                ", ".join(f"percentile({q}, duration_us) AS p{q * 100:g}" for q in QUANTILES),
            ),
            percentiles("date_trunc('minute', timestamp)", f"approx_quantile(duration_us, {list(QUANTILES)})"),
            percentiles(
                "toStartOfMinute(timestamp)", f"quantilesDD({SKETCH_ERROR}, {', '.join(map(str, QUANTILES))})(duration_us)"
            ),
        ),
        ("b", "error rate by route, a day", routes, routes, routes),
        ("c", "top users", users, users, users),
        ("d", "distinct sessions a day", sessions, sessions, sessions),
        (
            "e",
            "one event by id",
            f"SELECT * FROM events WHERE event_id = '{facts['event_id']}'",
            f"SELECT lower(hex(event_id)), * EXCLUDE (event_id) FROM events WHERE event_id = unhex('{compact_id}')",
            f"SELECT lower(hex(event_id)), * EXCEPT event_id FROM events WHERE event_id = unhex('{compact_id}')",
        ),
        (
            "f",
            "newest 100 of a service",
            f"SELECT * {newest}",
            f"SELECT lower(hex(event_id)), * EXCLUDE (event_id) {newest}",
            f"SELECT lower(hex(event_id)), * EXCEPT event_id {newest}",
        ),
        ("g", "all by type and hour", types, types, types),
        (
            "h",
            "by a JSON property",
            properties("properties->>'path'", "CAST(properties->>'price' AS DOUBLE)"),
            properties("properties->>'path'", "CAST(properties->>'price' AS DOUBLE)"),
            properties("JSONExtractString(properties, 'path')", "JSONExtractFloat(properties, 'price')"),
        ),
    ]


def normal(rows):
    """Times as one kind of text, ids without dashes, numbers rounded to what all engines promise."""
    return [[normal_value(value) for value in row] for row in rows]


TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(?:\.(\d+))?Z?)?")
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def normal_value(value):
    if isinstance(value, str) and (found := TIME.fullmatch(value)):
        return f"{found[1]} {found[2] or '00:00:00'}.{(found[3] or '').ljust(6, '0')}"
    if isinstance(value, str) and ID.fullmatch(value):
        return value.replace("-", "")
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return float(f"{value:.9g}")
    return [normal_value(part) for part in value] if isinstance(value, list) else value


def flat(rows):
    """Percentiles as columns, whether an engine gives a list or each."""
    return [[row[0], *(row[1] if isinstance(row[1], list) else row[1:])] for row in rows]


class Checks:
    """Whether the engines' answers are the same."""

    def __init__(self, facts, ask_exactly):
        self.facts, self.ask_exactly = facts, ask_exactly
        self.failed = 0

    def check(self, letter, answers):
        if letter == "a":
            return self.percentiles({engine: flat(normal(rows)) for engine, rows in answers.items()})
        answers = {engine: normal(rows) for engine, rows in answers.items()}
        differ = [engine for engine in answers if answers[engine] != answers["ours"]]
        self.failed += bool(differ)
        for engine in differ:
            print(f"DIFFERENT: {letter}, {engine}: {first_difference(answers['ours'], answers[engine])}")
        return "the same" if not differ else f"DIFFERENT: {', '.join(differ)}"

    def percentiles(self, answers):
        """The true values are those of all durations, sorted."""
        truth = {row[0]: sorted(row[1]) for row in normal(self.ask_exactly())}
        worst = {}
        for engine, rows in answers.items():
            if [row[0] for row in rows] != sorted(truth):
                self.failed += 1
                return f"DIFFERENT: {engine} has other minutes"
            worst[engine] = max(deviation(truth[row[0]], row[1:]) for row in rows)
        # Half a unit in the last place of what is printed.
        if worst["ours"] > SKETCH_ERROR * 1.001:
            self.failed += 1
        said = ", ".join(f"{engine} {off * 100:.2f} %" for engine, off in worst.items() if engine.endswith(("ours", "parquet")))
        return f"worst off the true value: {said}"


def deviation(values, found):
    worst = 0.0
    for quantile, value in zip(QUANTILES, found):
        true = values[math.floor(quantile * (len(values) - 1))]
        worst = max(worst, abs(value - true) / true)
    return worst


def first_difference(left, right):
    if len(left) != len(right):
        return f"{len(left)} rows, {len(right)}"
    for at, (one, other) in enumerate(zip(left, right)):
        if one != other:
            return f"row {at}: {one} {other}"
    return "none"


class Aggregator:
    def __init__(self, binaries, data, log):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RIDEALONG_")}
        self.process = subprocess.Popen(
            [f"{binaries}/ridealong-aggregator", "serve", "--listen", "127.0.0.1:0", "--data", data],
            stdout=subprocess.PIPE,
            stderr=open(log, "wb"),
            text=True,
            env=environment,
        )
        found = re.search(r"http://([0-9.:]+)", self.process.stdout.readline())
        if not found:
            raise SystemExit(f"the aggregator did not start:\n{open(log).read()[-2000:]}")
        self.address = found[1]

    def settled(self):
        """After jobs that are due: they change the files."""
        while True:
            with urllib.request.urlopen(f"http://{self.address}/api/analytics/jobs") as answer:
                jobs = json.load(answer)["data"]
            if all(job["state"] == "idle" for job in jobs):
                return
            time.sleep(0.2)

    def close(self):
        self.process.terminate()
        self.process.wait(30)


def facts_of(ours):
    newest = datetime.fromisoformat(ours.answer("SELECT max(timestamp) AS t FROM requests")["data"][0]["t"].rstrip("Z"))
    day = newest.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    hour = day + timedelta(hours=12)
    text = lambda time: time.strftime("%Y-%m-%d %H:%M:%S")
    one = f"SELECT event_id FROM events WHERE timestamp >= '{text(hour)}' ORDER BY timestamp LIMIT 1"
    return {
        "day": text(day),
        "day_end": text(day + timedelta(days=1)),
        "hour": text(hour),
        "hour_end": text(hour + timedelta(hours=1)),
        "event_id": ours.answer(one)["data"][0]["event_id"],
    }


def link_files(data, cache):
    """The tables' present files in a folder of their own, and what tells them from others."""
    files = {table: active_files(f"{data}/lake/default/{table}") for table in TABLES}
    name = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:12]
    folder = f"{cache}/files-{name}"
    for old in os.listdir(cache):
        if old.startswith(("files-", "own-")) and not old.endswith(name):
            shutil.rmtree(f"{cache}/{old}")
    for table in TABLES:
        os.makedirs(f"{folder}/{table}", exist_ok=True)
        for file in files[table]:
            target = f"{folder}/{table}/{file.replace('/', '-')}"
            if not os.path.exists(target):
                os.link(f"{data}/lake/default/{table}/{file}", target)
    print({table: f"{len(files[table])} files" for table in TABLES})
    return folder, f"{cache}/own-{name}"


def measure(asked, engines, rounds):
    """Answers of the first round, and times of the others, by question and engine."""
    answers, times = {}, {}
    for number in range(rounds + 1):
        for letter, _, *statements in asked:
            order = list(engines)
            turn = (number + ord(letter)) % len(order)
            for name in order[turn:] + order[:turn]:
                sql = statements[0 if name == "ours" else 1 if name.startswith("duckdb") else 2]
                found = engines[name].ask(f"{sql} /* round {number}, {os.getpid()} */")
                if number == 0:
                    answers.setdefault(letter, {})[name] = found["rows"]
                else:
                    times.setdefault((letter, name), []).append((found["wall"] * 1e3, found["cpu"] * 1e3))
    return answers, times


def report(asked, engines, times, verdicts):
    table = [["", "question", "engine", "wall p50", "min, ms", "CPU p50", "min, ms"]]
    ratios = [["", "question", "Parquet: wall", "CPU", "own: wall", "CPU", "answers"]]
    for letter, question, *_ in asked:
        least = {}
        for name in engines:
            walls, cpus = zip(*times[letter, name])
            least[name] = (min(walls), min(cpus))
            figures = [statistics.median(walls), min(walls), statistics.median(cpus), min(cpus)]
            table.append([letter, question, name, *(f"{figure:.1f}" for figure in figures)])
            letter_shown = letter
            letter, question = letter_shown, ""
        row = [letter, next(name for at, name, *_ in asked if at == letter)]
        for peers in (PARQUET, OWN):
            for kind in (0, 1):
                best = min((least[peer][kind] for peer in peers if peer in least), default=None)
                row.append("" if best is None else f"{least['ours'][kind] / best:.2f}")
        ratios.append([*row, verdicts[letter]])
    for shown in (table, ratios):
        print()
        widths = [max(len(row[at]) for row in shown) for at in range(len(shown[0]))]
        for row in shown:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binaries", required=True)
    parser.add_argument("--cache", required=True)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="abcdefgh", help="letters of questions")
    parser.add_argument("--engines", default=",".join(["ours", "parquet", "own"]), help="ours, and which others")
    options = parser.parse_args()

    cache = f"{options.cache}/queries-{options.rows}"
    os.makedirs(cache, exist_ok=True)
    if not os.path.exists(f"{cache}/made"):
        shutil.rmtree(f"{cache}/data", ignore_errors=True)
        make = [f"{options.binaries}/ridealong-load", "history", "--data", f"{cache}/data", "--rows", str(options.rows)]
        subprocess.run(make, check=True)
        open(f"{cache}/made", "w").close()
    aggregator = Aggregator(options.binaries, f"{cache}/data", f"{cache}/aggregator.log")
    engines = {"ours": Ours(aggregator.address, aggregator.process.pid)}
    try:
        aggregator.settled()
        facts = facts_of(engines["ours"])
        folder, own = link_files(f"{cache}/data", cache)
        if "parquet" in options.engines:
            engines |= {PARQUET[0]: Peer("duckdb", folder, ""), PARQUET[1]: Peer("clickhouse", folder, "")}
        if "own" in options.engines:
            os.makedirs(own, exist_ok=True)
            engines |= {OWN[0]: Peer("duckdb", folder, f"{own}/duck.db"), OWN[1]: Peer("clickhouse", folder, f"{own}/click")}
        asked = [question for question in questions(facts) if question[0] in options.only]
        answers, times = measure(asked, engines, options.rounds)
        exact = (
            "SELECT date_trunc('minute', timestamp), list(duration_us) FROM requests WHERE service = 'shop' "
            f"AND timestamp >= '{facts['hour']}' AND timestamp < '{facts['hour_end']}' GROUP BY 1 ORDER BY 1"
        )
        checks = Checks(facts, lambda: next(engines[name] for name in engines if "duckdb" in name).ask(exact)["rows"])
        verdicts = dict.fromkeys(answers, "not compared")
        if len(engines) > 1:
            verdicts = {letter: checks.check(letter, answers[letter]) for letter in answers}
        report(asked, engines, times, verdicts)
    finally:
        for engine in engines.values():
            if isinstance(engine, Peer):
                engine.close()
        aggregator.close()
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
