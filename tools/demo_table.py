#!/usr/bin/env python3
"""Print one table of what the runs of ``demo_all.sh`` reached on held-out data, beside chance.

Write it as JSON too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from clipbert_mmf.report.run_record import read_run_record
from clipbert_mmf.tasks.datasets import SPECS, DatasetSpec
from clipbert_mmf.tasks.task import TASKS


def compare(spec: DatasetSpec, save: Path) -> dict[str, Any] | None:
    """Return the result of a dataset's run beside chance, or None where it has not run.

    Args:
        spec: the dataset; its run is the folder of its name.
        save: directory of the runs.
    """
    task = TASKS.get(spec.task)
    folder = save / spec.name
    if task is None or task.chance.read_annotation is None or not (folder / "metrics.jsonl").is_file():
        return None
    run = read_run_record(folder)
    value = run.read_metrics("test").get(task.main_metric)
    if value is None:
        return None
    chance = run.guess_from_annotations(spec)
    seconds = folder / "seconds"
    return {
        "dataset": spec.name,
        "metric": task.main_number,
        "is_share": not task.smaller_is_better,
        "result": value,
        "chance": chance,
        "times_chance": task.compare_with_chance(value, chance),
        "seconds": int(seconds.read_text()) if seconds.exists() else None,
    }


def make_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table."""
    lines = [
        "| task | metric | result | chance | better by | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        shown = [
            f"{100 * row[key]:.1f} %" if row["is_share"] else f"{row[key]:.2f}"
            for key in ("result", "chance")
        ]
        times = "" if row["times_chance"] is None else f"{row['times_chance']:.1f}x"
        lines.append(
            f"| `{row['dataset']}` | {row['metric']} | {shown[0]} | {shown[1]} | {times} | {row['seconds']} |"
        )
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
