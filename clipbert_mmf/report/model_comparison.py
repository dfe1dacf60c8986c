"""Results of models that were trained on the same data with the same budget, as a table and a picture.

``clipbert compare`` trains them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipbert_mmf.report.differences import describe_difference, find_interval, format_difference
from clipbert_mmf.report.run_record import read_run_record
from clipbert_mmf.report.run_results import (
    count_parameters,
    read_final_metrics,
    read_final_outcomes,
    read_step_seconds,
    read_training_lines,
)
from clipbert_mmf.scoring.outcomes import Outcomes
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


def read_main_outcomes(folder: Path, metric: str) -> list[Outcomes]:
    """Return the outcomes of a run's main number on the test split; none where it kept none."""
    outcomes = read_final_outcomes(folder, "test").get(metric)
    return [] if outcomes is None else [outcomes]


def summarize_results(
    results: Sequence[dict[str, Any]], outcomes: Sequence[Sequence[Outcomes]] = ()
) -> list[dict[str, Any]]:
    """Return one row per model and dataset: means over seeds, spread, interval, and difference to the first model.

    Args:
        results: with ``model``, ``dataset``, ``seed`` and the fields of ``COLUMNS``.
        outcomes: of the main number, as ``read_main_outcomes`` returns them for each of ``results``.

    Returns:
        Rows with ``accuracy_std`` over seeds, ``accuracy_interval`` over media, and ``difference``, what
        ``describe_difference`` says about the row and the first of the same dataset; each None where it is
        unknown.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for number, result in enumerate(results):
        groups.setdefault((result["model"], result["dataset"]), []).append(number)
    rows: list[dict[str, Any]] = []
    first: dict[str, list[Outcomes]] = {}
    for (model, dataset), numbers in groups.items():
        group = [results[number] for number in numbers]
        own = [one for number in numbers if outcomes for one in outcomes[number]]
        own = own if len(own) == len(group) else []  # a run of before kept none
        is_first = dataset not in first
        first.setdefault(dataset, own)
        rows.append(
            {
                "model": model,
                "dataset": dataset,
                "seeds": [one["seed"] for one in group],
                **{name: statistics.mean(one[name] for one in group) for name in COLUMNS},
                "accuracy_std": statistics.stdev(one["accuracy"] for one in group)
                if len(group) > 1
                else None,
                "accuracy_interval": find_interval(own),
                "difference": None if is_first else describe_difference(own, first[dataset]),
            }
        )
    return rows


def format_comparison_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table of the rows of ``summarize_results``, and what its columns mean."""
    titles = [title for title, _ in COLUMNS.values()]
    titles[1:1] = ["95 % interval", "above the first"]
    lines = [
        f"| {' | '.join(['model', 'dataset', *titles])} |",
        f"|{' --- |' * (len(titles) + 2)}",
    ]
    for row in rows:
        shown = [form.format(row[name] * _SCALES.get(name, 1)) for name, (_, form) in COLUMNS.items()]
        if row["accuracy_std"] is not None:
            shown[0] += f" ± {100 * row['accuracy_std']:.1f}"
        interval = row["accuracy_interval"]
        shown[1:1] = [
            "" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}",
            format_difference(row["difference"]),
        ]
        lines.append(f"| `{row['model']}` | `{row['dataset']}` | {' | '.join(shown)} |")
    num_seeds = max(len(row["seeds"]) for row in rows)
    spread = f", ± the standard deviation over {num_seeds} seeds" if num_seeds > 1 else ", one seed"
    lines.append(
        f"\nAccuracy: the mean{spread}. Interval: a bootstrap over media, each with all its texts. Above the first: "
        f"the difference to the first model of the dataset on the same items, in points of per cent, with its "
        f"interval; significant: p < 0.05 in a permutation test over media."
    )
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
        if row.get("accuracy_interval"):
            ends = [100 * end for end in row["accuracy_interval"]]  # below the number at the bar's end
            axes[0][0].plot(ends, [place + 0.28] * 2, color="black", label=None if place else "95 % interval")
        axes[0][0].plot(
            [100 * row["chance"]] * 2,
            [place - 0.4, place + 0.4],
            color="black",
            linestyle="--",
            linewidth=1.2,
            label=None if place else "chance",
        )
    axes[0][0].legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    axes[0][0].set_yticks(range(len(rows)), names)
    axes[0][0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
