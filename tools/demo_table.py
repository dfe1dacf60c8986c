#!/usr/bin/env python3
"""Print one table of what the runs of ``demo_all.sh`` reached on held-out data, beside chance; write it as JSON too."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from quickstart_table import find_final_metrics

from clipbert_mmf.annotations import TextRecord, read_annotations
from clipbert_mmf.scoring import chance


def _answers(records: list[TextRecord]) -> list:
    return [record.answer for record in records]


def _guess_rank(records: list[TextRecord]) -> float:
    return chance.guess_rank(len(records))


def _guess_option(records: list[TextRecord]) -> float:
    return chance.guess_option([len(record.options) for record in records])


def _guess_answer(records: list[TextRecord]) -> float:
    return chance.guess_answer(_answers(records))


def _guess_soft_answer(records: list[TextRecord]) -> float:
    return chance.guess_soft_answer([record.soft_answers for record in records])


def _guess_count(records: list[TextRecord]) -> float:
    return chance.guess_count(_answers(records))


#: Dataset -> (metric, how chance is made, corpus, test file, its answers or split).
TASKS: dict[str, tuple[str, Callable, str, str, dict]] = {
    "msrvtt_retrieval": (
        "clipbert_retrieval/t2v_r1",
        _guess_rank,
        "msrvtt",
        "msrvtt/MSRVTT_JSFUSION_test.csv",
        {},
    ),
    "msrvtt_mc": ("clipbert_answers/accuracy", _guess_option, "msrvtt_choice", "msrvtt/MSR_MC_test.csv", {}),
    "didemo_retrieval": ("clipbert_retrieval/t2v_r1", _guess_rank, "didemo", "didemo/test_data.json", {}),
    "activitynet_retrieval": (
        "clipbert_retrieval/t2v_r1",
        _guess_rank,
        "activitynet",
        "activitynet/val_1.json",
        {},
    ),
    "msrvtt_qa": ("clipbert_answers/accuracy", _guess_answer, "msrvtt_qa", "msrvtt/test_qa.json", {}),
    "tgif_qa_action": (
        "clipbert_answers/accuracy",
        _guess_option,
        "tgif_choice",
        "tgif_qa/Test_action_question.csv",
        {},
    ),
    "tgif_qa_transition": (
        "clipbert_answers/accuracy",
        _guess_option,
        "tgif_choice",
        "tgif_qa/Test_transition_question.csv",
        {},
    ),
    "tgif_qa_frameqa": (
        "clipbert_answers/accuracy",
        _guess_answer,
        "tgif_frameqa",
        "tgif_qa/Test_frameqa_question.csv",
        {},
    ),
    "tgif_qa_count": (
        "clipbert_count/mse",
        _guess_count,
        "tgif_count",
        "tgif_qa/Test_count_question.csv",
        {},
    ),
    "coco_captions_retrieval": (
        "clipbert_retrieval/t2v_r1",
        _guess_rank,
        "coco_captions",
        "coco/dataset_coco.json",
        {"splits": ["test"]},
    ),
    "vqa2_pixels": (
        "clipbert_vqa/accuracy",
        _guess_soft_answer,
        "vqa2",
        "vqa2/v2_OpenEnded_mscoco_val2014_questions.json",
        {"companion": "vqa2/v2_mscoco_val2014_annotations.json"},
    ),
}


def compare(name: str, save: Path, data: Path) -> dict | None:
    """Return a task's result beside chance, or None where it has not run."""
    metric, guess, corpus, file, options = TASKS[name]
    value = (find_final_metrics(save / name, name, "test") or {}).get(metric)
    if value is None:
        return None
    options = {key: data / value if key == "companion" else value for key, value in options.items()}
    guessed = guess(list(read_annotations(data / file, corpus, **options)))
    seconds = save / name / "seconds"
    return {
        "dataset": name,
        "metric": metric,
        "result": value,
        "chance": guessed,
        "times_chance": guessed / value if metric.endswith("mse") and value else value / guessed,
        "seconds": int(seconds.read_text()) if seconds.exists() else None,
    }


def main() -> None:
    """Parse the arguments, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, required=True, help="directory of the runs, one folder each")
    parser.add_argument("--data", type=Path, required=True, help="directory of the demo corpora")
    arguments = parser.parse_args()
    rows = [row for row in (compare(name, arguments.save, arguments.data) for name in TASKS) if row]
    lines = [
        "| task | metric | result | chance | better by | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        shown = [
            f"{row[key]:.2f}" if row["metric"].endswith("mse") else f"{100 * row[key]:.1f} %"
            for key in ("result", "chance")
        ]
        lines.append(
            f"| `{row['dataset']}` | {row['metric'].removeprefix('clipbert_')} | {shown[0]} | {shown[1]} | {row['times_chance']:.1f}x | "
            f"{row['seconds']} |"
        )
    table = "\n".join(lines) + "\n"
    print(table)
    (arguments.save / "table.md").write_text(table, encoding="utf-8")
    (arguments.save / "results.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
