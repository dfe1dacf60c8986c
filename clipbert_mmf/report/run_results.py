"""Reads numbers from the folder of a finished run.

Final metrics, the time of an update, the size of its model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from clipbert_mmf.inference.settings import read_json_lines
from clipbert_mmf.report.run_record import read_run_record
from clipbert_mmf.scoring.outcomes import Outcomes


class RunResultError(ValueError):
    """A run's folder that lacks a number; the message names the file."""


def read_final_metrics(folder: Path, split: str) -> dict[str, float]:
    """Return the last metrics of a split by short name, ``<metric>/<name>``.

    Args:
        folder: the run's folder.
        split: ``val`` or ``test``.

    Raises:
        FileNotFoundError: if it is not the folder of a run.
        RunResultError: if the run has none, for example because it was stopped.
    """
    metrics = read_run_record(folder).read_metrics(split)
    if not metrics:
        raise RunResultError(f"{folder / 'metrics.jsonl'} has no metrics of '{split}'; did the run finish?")
    return metrics


def read_final_outcomes(folder: Path, split: str) -> dict[str, Outcomes]:
    """Return the outcomes of a run's last final evaluation by short name; none where it kept none.

    Args:
        folder: the run's folder.
        split: ``val`` or ``test``.
    """
    return read_run_record(folder).read_outcomes(split)


def read_training_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines that a run logged while it trained."""
    return [line for line in read_json_lines(folder / "metrics.jsonl") if line.get("split") == "train"]


def read_step_seconds(folder: Path) -> float:
    """Return the median time of an update that a run logged, in seconds.

    Raises:
        RunResultError: if it logged none.
    """
    rates = sorted(
        line["updates_per_sec"] for line in read_training_lines(folder) if line.get("updates_per_sec")
    )
    if not rates:
        raise RunResultError(f"{folder / 'metrics.jsonl'} has no updates_per_sec; did the run train?")
    return 1 / rates[len(rates) // 2]


def count_parameters(weights: Path) -> int:
    """Return the number of parameters of a run's final weights, shared ones once, statistics of norms left out."""
    state = torch.load(str(weights), map_location="cpu", weights_only=True)
    kept = {
        tensor.data_ptr(): tensor.numel()
        for name, tensor in state.items()
        if tensor.is_floating_point() and not name.endswith(("running_mean", "running_var"))
    }
    return sum(kept.values())
