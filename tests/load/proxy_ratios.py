"""The agent beside its peers in one table of ratios, and whether every request it took is found by SQL.

    proxy_ratios.py FOLDER      with result.json of proxybench.py, answer (of SQL) and stats (of the agent)
"""

import json
import statistics
import sys


def medians(results, test, target):
    rounds = next(it["rounds"] for it in results if it["test"] == test and it["target"] == target)
    return {key: statistics.median(each[key] for each in rounds) for key in ("rps", "p50", "p99", "cpu", "hwm", "foreign")}


def ratios(results):
    targets = list(dict.fromkeys(it["target"] for it in results))
    print("\nThe agent in relation: below 1 it takes less, for req/s above 1 it does more. Others' processor time in the last column.")
    print(f"{'test':18} {'agent against':14} {'req/s':>7} {'CPU':>7} {'p50':>7} {'p99':>7} {'memory':>7} {'others %':>9}")
    for test in dict.fromkeys(it["test"] for it in results):
        agent = medians(results, test, "agent")
        for target in targets:
            if target == "agent":
                continue
            peer = medians(results, test, target)
            cells = [agent[key] / peer[key] if peer[key] else None for key in ("rps", "cpu", "p50", "p99", "hwm")]
            text = " ".join(f"{'-' if cell is None else f'{cell:.2f}':>7}" for cell in cells)
            print(f"{test:18} {target:14} {text} {max(agent['foreign'], peer['foreign']):9.1f}")


def conserved(folder):
    """Taken by the agent = found by SQL + dropped and said so."""
    row = json.load(open(f"{folder}/answer"))["data"][0]
    stats = json.load(open(f"{folder}/stats"))
    print(f"\nfound by SQL: {row['n']:,} requests, {row['ids']:,} distinct ids")
    print(f"the agent's own books: {json.dumps({key: value for key, value in stats.items() if not isinstance(value, list)})[:1500]}")
    return row["n"] == row["ids"]


def main():
    folder = sys.argv[1]
    ratios(json.load(open(f"{folder}/result.json")))
    if not conserved(folder):
        sys.exit("some request is stored twice")


if __name__ == "__main__":
    main()
