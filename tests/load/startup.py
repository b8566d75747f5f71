"""How soon the agent, nginx and haproxy take a connection after their start, and what they take when nothing happens.

    startup.py --agent BINARY [--rounds 5] [--threads 1]

Each is started afresh, in rotating order; a connection is tried every 0.2 ms, and the first that is accepted counts.
Memory is read two seconds later, over all of a program's processes: pages of its own files once, shared by its share.
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

BACKEND, PORT, API = 18080, 18190, 18191
QUIET_SECONDS = 2

NGINX = """daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes {threads};
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{backend}; }} }} }}
"""
HAPROXY = """global
  nbthread {threads}
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{backend}
"""


def commands(folder, agent, threads):
    facts = {"folder": folder, "port": PORT, "backend": BACKEND, "threads": threads}
    for name, text in [("nginx.conf", NGINX), ("haproxy.cfg", HAPROXY)]:
        with open(f"{folder}/{name}", "w") as out:
            out.write(text.format(**facts))
    run = [
        agent,
        "run",
        "--service",
        "startup",
        "--upstream",
        f"http://127.0.0.1:{BACKEND}",
        "--listen",
        f"127.0.0.1:{PORT}",
    ]
    run += ["--api-listen", f"127.0.0.1:{API}", "--aggregator", "http://127.0.0.1:9", "--spool", f"{folder}/spool"]
    return {
        "agent": [*run, "--threads", str(threads)],
        "nginx": ["nginx", "-p", folder, "-c", f"{folder}/nginx.conf"],
        "haproxy": ["haproxy", "-db", "-f", f"{folder}/haproxy.cfg"],
    }


def accepts():
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as found:
        return [int(child) for child in found.read().split()]


def memory_mib(pid):
    """Proportional and resident set of a process and its children."""
    pss = rss = 0
    for each in [pid, *children(pid)]:
        with open(f"/proc/{each}/smaps_rollup") as rollup:
            fields = {line.split(":")[0]: int(line.split()[1]) for line in rollup if "kB" in line}
        pss, rss = pss + fields["Pss"], rss + fields["Rss"]
    return pss / 1024, rss / 1024


def once(command, folder):
    shutil.rmtree(f"{folder}/spool", ignore_errors=True)
    begun = time.perf_counter()
    with open(f"{folder}/out", "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        while not accepts():
            assert process.poll() is None, open(f"{folder}/out", errors="replace").read()
            time.sleep(0.0002)
        accepted = time.perf_counter() - begun
        time.sleep(QUIET_SECONDS)
        return accepted * 1000, *memory_mib(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="ridealong-startup-")
    measured = {}
    try:
        assert not accepts(), f"port {PORT} is taken"
        ours = commands(folder, os.path.abspath(options.agent), options.threads)
        names = list(ours)
        for turn in range(options.rounds):
            at = turn % len(names)
            for name in names[at:] + names[:at]:
                measured.setdefault(name, []).append(once(ours[name], folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in measured.items()}
    print(f"\nStart and rest, medians of {options.rounds} starts each, {options.threads} worker(s)")
    print(
        f"{'program':10} {'accepts, ms':>12} {'PSS, MiB':>10} {'RSS, MiB':>10} {'agent against it: ms':>21} {'PSS':>6}"
    )
    for name, (milliseconds, pss, rss) in medians.items():
        ours = medians["agent"]
        ratios = f"{ours[0] / milliseconds:21.2f} {ours[1] / pss:6.2f}"
        print(f"{name:10} {milliseconds:12.1f} {pss:10.1f} {rss:10.1f} {ratios if name != 'agent' else ''}".rstrip())


if __name__ == "__main__":
    main()
