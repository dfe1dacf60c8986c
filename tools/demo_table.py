#!/usr/bin/env python3
"""Print one table of what the runs of ``demo_all.sh`` reached on held-out data, beside chance.

Write it as JSON too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from clipbert_mmf.report.differences import find_interval
from clipbert_mmf.report.run_record import read_run_record
from clipbert_mmf.tasks.datasets import SPECS, DatasetSpec
from clipbert_mmf.tasks.task import TASKS


def list_seeds(save: Path) -> list[Path]:
    """Return the directories of all seeds: ``save``, and ``seed_2`` and so on in it."""
    return [save, *sorted((path for path in save.glob("seed_*") if path.is_dir()), key=_read_number)]


def _read_number(path: Path) -> int:
    return int(path.name.removeprefix("seed_"))


def compare(spec: DatasetSpec, save: Path) -> dict[str, Any] | None:
    """Return the result of a dataset's runs beside chance, or None where none has run.

    Args:
        spec: the dataset; its run is the folder of its name.
        save: directory of the runs; those of further seeds lie in ``seed_2`` and so on.
    """
    task = TASKS.get(spec.task)
    if task is None or task.chance.read_annotation is None:
        return None
    folders = [
        path / spec.name for path in list_seeds(save) if (path / spec.name / "metrics.jsonl").is_file()
    ]
    runs = [read_run_record(folder) for folder in folders]
    runs = [run for run in runs if task.main_metric in run.read_metrics("test")]
    if not runs:
        return None
    values = [run.read_metrics("test")[task.main_metric] for run in runs]
    outcomes = [rows for run in runs if (rows := run.read_outcomes("test").get(task.main_metric)) is not None]
    value, chance = mean(values), runs[0].guess_from_annotations(spec)
    seconds = [int((run.folder / "seconds").read_text()) for run in runs if (run.folder / "seconds").exists()]
    return {
        "dataset": spec.name,
        "metric": task.main_number,
        "is_share": not task.smaller_is_better,
        "result": value,
        "num_seeds": len(runs),
        "spread": stdev(values) if len(values) > 1 else None,
        "interval": find_interval(outcomes) if len(outcomes) == len(runs) else None,
        "chance": chance,
        "times_chance": task.compare_with_chance(value, chance),
        "seconds": round(mean(seconds)) if seconds else None,
    }


def make_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table, and what its columns mean."""
    lines = [
        "| task | metric | result | 95 % interval | chance | better by | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:

        def show(value: float, unit: str = " %", is_share: bool = row["is_share"]) -> str:
            return f"{100 * value:.1f}{unit}" if is_share else f"{value:.2f}"

        result = show(row["result"])
        if row["spread"] is not None:
            result = f"{show(row['result'], '')} ± {show(row['spread'])}"
        interval = "" if row["interval"] is None else " to ".join(show(end, "") for end in row["interval"])
        times = "" if row["times_chance"] is None else f"{row['times_chance']:.1f}x"
        lines.append(
            f"| `{row['dataset']}` | {row['metric']} | {result} | {interval} | {show(row['chance'])} | {times} | "
            f"{row['seconds']} |"
        )
    num_seeds = max((row["num_seeds"] for row in rows), default=1)
    spread = f"Means of {num_seeds} seeds ± standard deviation." if num_seeds > 1 else "One seed."
    lines.append(f"\n{spread} Interval: a bootstrap over media, each with all its texts.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the arguments, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, required=True, help="directory of the runs, one folder each")
    arguments = parser.parse_args()
    rows = [row for row in (compare(spec, arguments.save) for spec in SPECS.values()) if row]
    table = make_table(rows)
    print(table)
    (arguments.save / "table.md").write_text(table, encoding="utf-8")
    (arguments.save / "results.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
