"""Results of models that were trained on the same data with the same budget, as a table and a picture.

``clipbert compare`` trains them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipbert_mmf.report.run_record import read_run_record
from clipbert_mmf.report.run_results import (
    count_parameters,
    read_final_metrics,
    read_step_seconds,
    read_training_lines,
)
from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.tasks.task import TASKS

#: Field of a result -> (title of its column, format).
COLUMNS = {
    "accuracy": ("accuracy, %", "{:.1f}"),
    "chance": ("chance, %", "{:.1f}"),
    "parameters": ("parameters, M", "{:.2f}"),
    "updates": ("updates", "{:.0f}"),
    "step_seconds": ("seconds per update", "{:.3f}"),
    "max_memory_mib": ("peak memory, MiB", "{:.0f}"),
    "seconds": ("seconds in all", "{:.0f}"),
}
_SCALES = {"accuracy": 100.0, "chance": 100.0, "parameters": 1e-6}
_PANELS = ("accuracy", "parameters", "step_seconds", "max_memory_mib")


def parse_model_and_dataset(text: str) -> tuple[str, str]:
    """Return model and dataset of MODEL:DATASET.

    Raises:
        ValueError: if it has another form, or the dataset's task is not compared.
    """
    model, _, dataset = text.partition(":")
    known = sorted(name for name, spec in SPECS.items() if _is_compared(spec.task))
    if not model or dataset not in known:
        raise ValueError(f"'{text}': expected MODEL:DATASET with a dataset of {known}")
    return model, dataset


def _is_compared(task_name: str) -> bool:
    """Return whether the main number is a share whose chance level the annotations tell."""
    task = TASKS.get(task_name)
    return task is not None and task.chance.read_annotation is not None and not task.smaller_is_better


def measure_run(folder: Path, model: str, dataset: str) -> dict[str, Any]:
    """Return the main number on the test split beside chance, and the cost of the run.

    Args:
        folder: the run's folder.
        model: registry key.
        dataset: registry key.
    """
    spec = SPECS[dataset]
    metric = TASKS[spec.task].main_metric
    on_device = [line["max_memory_mib"] for line in read_training_lines(folder) if "max_memory_mib" in line]
    return {
        "metric": metric,
        "accuracy": read_final_metrics(folder, "test")[metric],
        "chance": read_run_record(folder).guess_from_annotations(spec),
        "step_seconds": read_step_seconds(folder),
        "parameters": count_parameters(folder / f"{model}_final.pth"),
        **({"max_memory_mib": max(on_device)} if on_device else {}),
    }


def summarize_results(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per model and dataset: means over seeds, and the spread of accuracy.

    Args:
        results: with ``model``, ``dataset``, ``seed`` and the fields of ``COLUMNS``.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault((result["model"], result["dataset"]), []).append(result)
    return [
        {
            "model": model,
            "dataset": dataset,
            "seeds": [one["seed"] for one in group],
            **{name: statistics.mean(one[name] for one in group) for name in COLUMNS},
            "accuracy_std": statistics.stdev(one["accuracy"] for one in group) if len(group) > 1 else 0.0,
        }
        for (model, dataset), group in groups.items()
    ]


def format_comparison_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table of the rows of ``summarize_results``."""
    lines = [
        f"| {' | '.join(['model', 'dataset', *(title for title, _ in COLUMNS.values())])} |",
        f"|{' --- |' * (len(COLUMNS) + 2)}",
    ]
    for row in rows:
        shown = {name: form.format(row[name] * _SCALES.get(name, 1)) for name, (_, form) in COLUMNS.items()}
        if len(row["seeds"]) > 1:
            shown["accuracy"] += f" ± {100 * row['accuracy_std']:.1f}"
        lines.append(f"| `{row['model']}` | `{row['dataset']}` | {' | '.join(shown.values())} |")
    return "\n".join(lines) + "\n"


def draw_comparison(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw accuracy with chance, parameters, time of an update and memory as bars, one for each row.

    Args:
        rows: results of ``summarize_results``.
        path: PNG file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    is_one_dataset = len({row["dataset"] for row in rows}) == 1
    names = [row["model"] if is_one_dataset else f"{row['model']}\n{row['dataset']}" for row in rows]
    colors = ["#1b6ca8" if row["model"] == "clipbert" else "#b8b8b8" for row in rows]
    figure, axes = plt.subplots(
        1, len(_PANELS), figsize=(13, 1.2 + 0.5 * len(rows)), sharey=True, squeeze=False
    )
    for name, axis in zip(_PANELS, axes[0], strict=True):
        values = [row[name] * _SCALES.get(name, 1) for row in rows]
        bars = axis.barh(range(len(rows)), values, color=colors)
        axis.bar_label(bars, [COLUMNS[name][1].format(value) for value in values], padding=3, fontsize=9)
        axis.set_xlim(0, 1.3 * max(values))
        axis.set_title(COLUMNS[name][0], fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    for place, row in enumerate(rows):
        axes[0][0].plot(
            [100 * row["chance"]] * 2,
            [place - 0.4, place + 0.4],
            color="black",
            linestyle="--",
            linewidth=1.2,
            label=None if place else "chance",
        )
    axes[0][0].legend(frameon=False, fontsize=8, loc="lower right")
    axes[0][0].set_yticks(range(len(rows)), names)
    axes[0][0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
