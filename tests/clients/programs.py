"""Child processes: our programs and the services behind them, each with its own folder below one work folder.

Knows how each says that it is ready and how it is stopped. Does not know what is asked of them.
"""

import os
import re
import signal
import socket
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
START_SECONDS = 30
STOP_SECONDS = 15


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Failed(Exception):
    """A program did not start, or did not do what was asked; with what it wrote."""


class Child:
    """A process whose output lies in a file; ended with SIGTERM, then SIGKILL."""

    def __init__(self, name, command, folder, environment=None):
        self.name, self.log = name, f"{folder}/{name}.log"
        # Settings of whoever runs this must not reach the programs.
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RIDEALONG_")}
        clean.update(environment or {})
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=clean, cwd=folder
            )

    def wait_for(self, what, ready):
        started = time.monotonic()
        while not ready():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}: {self.written()}")
            if time.monotonic() - started > START_SECONDS:
                self.stop()
                raise Failed(f"{self.name}: {what} not within {START_SECONDS} s: {self.written()}")
            time.sleep(0.02)

    def written(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-2000:]

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def ours(binaries, name, arguments, folder):
    """One of our programs, and the addresses that it announces on its first line."""
    os.makedirs(folder, exist_ok=True)
    log = open(f"{folder}/{name}.log", "wb")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RIDEALONG_")}
    child = Child.__new__(Child)
    child.name, child.log = name, log.name
    child.process = subprocess.Popen(
        [f"{binaries}/{name}", *arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=clean, cwd=folder
    )
    watchdog = threading.Timer(START_SECONDS, child.process.kill)
    watchdog.start()
    first = child.process.stdout.readline()
    watchdog.cancel()
    addresses = re.findall(r"http://([0-9.:]+)", first)
    if not addresses:
        child.stop()
        raise Failed(f"{name} did not start: {child.written()}")
    return child, addresses


def listens(port):
    def look():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return look
