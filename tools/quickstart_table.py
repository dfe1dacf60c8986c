#!/usr/bin/env python3
"""Print one table of a retrieval run's final test and write it as JSON. Reads what the run wrote."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from clipbert_mmf.report.run_record import read_run_record
from clipbert_mmf.tasks.datasets import SPECS

ROWS = (
    ("R@1", "r1", "share"),
    ("R@5", "r5", "share"),
    ("R@10", "r10", "share"),
    ("median rank", "median_rank", "rank"),
    ("mean rank", "mean_rank", "rank"),
)


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
    try:
        run = read_run_record(arguments.run, arguments.dataset)
    except FileNotFoundError as error:
        sys.exit(str(error))
    metrics = run.read_metrics(arguments.split, arguments.dataset)
    if not metrics:
        sys.exit(
            f"{arguments.run / 'metrics.jsonl'} has no metrics of '{arguments.split}' of {arguments.dataset}; did the "
            f"run finish?"
        )
    num_items, media = int(metrics["clipbert_retrieval/num_items"]), SPECS[arguments.dataset].media
    guess = chance(num_items)
    told = run.read_told_results(arguments.split, arguments.dataset)
    intervals = {metric: one["interval"] for metric, one in told.items() if one["interval"]}
    width = 28 if intervals else 16
    print(f"{'':<14}{f'text to {media}':>{width}}{f'{media} to text':>{width}}{'chance':>10}")
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
        f"{num_items} {media}s, {num_items**2} pairs, {int(metrics['clipbert_retrieval/num_unreadable'])} "
        f"unreadable" + (f", {arguments.seconds:.0f} s of training and testing" if arguments.seconds else "")
    )
    if intervals:
        print(f"in brackets: 95 % intervals over {media}s; another seed may differ by more")
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
