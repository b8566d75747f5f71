"""One run of schemathesis against an aggregator with data: starts it, fills it, judges both.

Does not know what is sent: that is schemathesis' part, with the values of hooks.py and the exceptions of
schemathesis.toml, each with its reason.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
START_SECONDS = 60
RUN_SECONDS = 900
SEED = 20261121
EXAMPLES = 40
# A tracked event that is set aside: its time is none.
FAULTY = "00000000-0000-4000-8000-00000000fa17"
STORED = "00000000-0000-4000-8000-000000005704"


def call(base, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def fill(base):
    """Events in files and in memory, of some types, times and users; one set aside."""
    kinds = ["page_view", "order_placed", "größe"]
    for part in range(2):
        events = [
            {
                "eventId": STORED if (part, number) == (0, 0) else None,
                "eventType": kinds[number % 3],
                "timestamp": f"2026-11-{1 + number % 20:02}T08:15:30.{number:06}Z",
                "userId": f"user-{number % 7}",
                "sessionId": f"s{number % 11}",
                "properties": {"amount": number, "note": None},
            }
            for number in range(500)
        ]
        call(base, "POST", "/api/analytics/batch-track", {"events": events})
        if part == 0:
            call(base, "POST", "/api/analytics/flush")
    call(base, "POST", "/api/analytics/track", {"eventId": FAULTY, "eventType": "late", "timestamp": "yesterday"})


class Aggregator:
    def __init__(self, binaries, folder):
        self.log = os.path.join(folder, "aggregator.log")
        arguments = ["serve", "--listen", "127.0.0.1:0", "--data", os.path.join(folder, "data")]
        arguments += ["--archive", os.path.join(folder, "archive")]
        # Settings of whoever runs this must not reach the program.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RIDEALONG_")}
        self.process = subprocess.Popen(
            [os.path.join(binaries, "ridealong-aggregator"), *arguments],
            stdout=subprocess.PIPE,
            stderr=open(self.log, "wb"),
            text=True,
            env=environment,
        )
        watchdog = threading.Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        first = self.process.stdout.readline()
        watchdog.cancel()
        found = re.search(r"http://[0-9.:]+", first)
        if found is None:
            sys.exit(f"the aggregator did not start: {open(self.log).read()[-2000:]}")
        self.base = found.group()

    def faults(self):
        """What is wrong with it after all that."""
        if self.process.poll() is not None:
            return [f"it ended with {self.process.returncode}"]
        log = open(self.log, encoding="utf-8", errors="replace").read()
        found = [line for line in log.splitlines() if "panicked" in line or " ERROR " in line]
        stats = json.loads(call(self.base, "GET", "/api/analytics/stats"))
        if stats["balance"]["difference"] != 0:
            found.append(f"the books do not balance: {stats['balance']}")
        return found

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", required=True)
    parser.add_argument("--schemathesis", required=True)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--keep", action="store_true", help="leave the data and the log")
    parser.add_argument("flags", nargs="*")
    told = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="ridealong-api-")
    aggregator = Aggregator(told.binaries, folder)
    try:
        fill(aggregator.base)
        command = [told.schemathesis, "--config-file", os.path.join(HERE, "schemathesis.toml"), "run"]
        command += [f"{aggregator.base}/openapi.json", "--seed", str(told.seed), "-n", str(told.examples), *told.flags]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": HERE, "NO_COLOR": "1"}
        environment |= {"API_STORED": STORED, "API_FAULTY": FAULTY}
        run = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=RUN_SECONDS
        )
        faults = aggregator.faults()
    finally:
        aggregator.stop()
        if not told.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(line[:400] for line in run.stdout.splitlines()))
    for fault in faults:
        print(f"the aggregator: {fault}")
    if told.keep:
        print(f"left in {folder}")
    cases = re.search(r"(\d+) generated", run.stdout)
    failed = re.search(r"(\d+) unique failures?|found (\d+) ", run.stdout)
    errors = len(faults) + (int(next(filter(None, failed.groups()))) if failed else int(run.returncode != 0))
    print(f"seed {told.seed}; --seed, --examples and --keep repeat it")
    print(f"{int(cases.group(1)) - errors if cases else 0} passed, {errors} failed")
    sys.exit(0 if run.returncode == 0 and not errors and cases else 1)


if __name__ == "__main__":
    main()
