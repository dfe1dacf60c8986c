#!/usr/bin/env python3
"""Print one table of a retrieval run's final test and write it as JSON. Reads what the run wrote."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROWS = (
    ("R@1", "r1", "share"),
    ("R@5", "r5", "share"),
    ("R@10", "r10", "share"),
    ("median rank", "median_rank", "rank"),
    ("mean rank", "mean_rank", "rank"),
)


def find_final_metrics(run: Path, dataset: str, split: str) -> dict[str, float] | None:
    """Return the last metrics of a split that the run wrote, as ``<metric>/<name>``, or None where it has none."""
    path, prefix = run / "metrics.jsonl", f"{split}/{dataset}/"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in reversed(lines):
        entry = json.loads(line)
        if entry.get("split") == split and entry.get("metrics"):
            return {name.removeprefix(prefix): value for name, value in entry["metrics"].items()}
    return None


def read_final_metrics(run: Path, dataset: str, split: str) -> dict[str, float]:
    """Return what ``find_final_metrics`` finds.

    Raises:
        SystemExit: if the run has not finished its test.
    """
    metrics = find_final_metrics(run, dataset, split)
    if metrics is None:
        sys.exit(f"{run / 'metrics.jsonl'} has no metrics of '{split}' of {dataset}; did the run finish?")
    return metrics


def read_intervals(run: Path, dataset: str, split: str) -> dict[str, list[float]]:
    """Return the 95 % intervals of the last final evaluation, by ``<metric>/<name>``."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    results = [entry["results"] for entry in entries if entry.get("split") == split and entry.get("results")]
    found = results[-1] if results else []
    return {one["metric"]: one["interval"] for one in found if one["dataset"] == dataset and one["interval"]}


def chance(num_items: int) -> dict[str, float]:
    """Return what guessing gives with one right answer among ``num_items``."""
    values = {f"r{depth}": min(1.0, depth / num_items) for depth in (1, 5, 10)}
    return {**values, "median_rank": (num_items + 1) / 2, "mean_rank": (num_items + 1) / 2}


def main() -> None:
    """Parse the arguments, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="env.save_dir of the run")
    parser.add_argument("--dataset", default="msrvtt_retrieval")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seconds", type=float, help="how long training took")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    metrics = read_final_metrics(arguments.run, arguments.dataset, arguments.split)
    num_items = int(metrics["clipbert_retrieval/num_items"])
    guess = chance(num_items)
    intervals = read_intervals(arguments.run, arguments.dataset, arguments.split)
    width = 28 if intervals else 16
    print(f"{'':<14}{'text to video':>{width}}{'video to text':>{width}}{'chance':>10}")
    for title, name, kind in ROWS:

        def show(value: float, unit: str = " %", is_share: bool = kind == "share") -> str:
            return f"{100 * value:.1f}{unit}" if is_share else f"{value:.1f}"

        shown = []
        for way in ("t2v", "v2t"):
            key = f"clipbert_retrieval/{way}_{name}"
            ends = f" ({' to '.join(show(end, '') for end in intervals[key])})" if key in intervals else ""
            shown.append(show(metrics[key]) + ends)
        print(f"{title:<14}{shown[0]:>{width}}{shown[1]:>{width}}{show(guess[name]):>10}")
    print(
        f"{num_items} videos, {num_items**2} pairs, {int(metrics['clipbert_retrieval/num_unreadable'])} "
        f"unreadable" + (f", {arguments.seconds:.0f} s of training and testing" if arguments.seconds else "")
    )
    if intervals:
        print("in brackets: 95 % intervals over videos; another seed may differ by more")
    result = {
        "dataset": arguments.dataset,
        "split": arguments.split,
        "metrics": metrics,
        "intervals": intervals,
        "chance": guess,
        "pairs": num_items**2,
        "seconds": arguments.seconds,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
