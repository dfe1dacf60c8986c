"""What a run left behind: configuration, curves, metrics, predictions, data health; missing parts stay empty."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import torch

from clipbert_mmf.inference.predictions import PredictionsError, evaluate_predictions, read_predictions
from clipbert_mmf.inference.settings import read_yaml


@dataclass(frozen=True)
class RunFiles:
    """A run's folder, read.

    Attributes:
        folder: of the run.
        config: as MMF saved it, resolved; empty where there is none.
        records: lines of ``metrics.jsonl``.
        unreadable: media that training found broken: key and reason.
        predictions: of the newest file, empty where there is none.
        predictions_file: its path.
    """

    folder: Path
    config: dict[str, Any]
    records: list[dict[str, Any]]
    unreadable: list[dict[str, str]]
    predictions: list[dict[str, Any]] = field(default_factory=list)
    predictions_file: Path | None = None

    @property
    def datasets(self) -> str:
        """What it was trained on."""
        return str(self.config.get("datasets") or "unknown data")

    def final_metrics(self) -> dict[str, float]:
        """Return the last metrics of the test split, or of the validation split where there is no test, by short name."""
        for split in ("test", "val"):
            found = [r for r in self.records if r.get("split") == split and r.get("metrics")]
            if found:
                return {name.rpartition("/")[2]: value for name, value in found[-1]["metrics"].items()}
        return evaluate_predictions(self.predictions) if self.predictions else {}


def read_run_files(folder: str | Path) -> RunFiles:
    """Read a run's folder.

    Raises:
        FileNotFoundError: if it is no folder, or holds neither a configuration nor metrics.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"run '{folder}': no such folder")
    config_file, metrics_file = folder / "config.yaml", folder / "metrics.jsonl"
    if not config_file.is_file() and not metrics_file.is_file():
        raise FileNotFoundError(f"run '{folder}' has neither config.yaml nor metrics.jsonl; is it the folder of a run?")
    predictions, file = _find_predictions(folder)
    unreadable = [entry for path in sorted(folder.glob("unreadable_*.jsonl")) for entry in _read_lines(path)]
    return RunFiles(
        folder, read_yaml(config_file) if config_file.is_file() else {}, _read_lines(metrics_file), unreadable,
        predictions, file,
    )


def _read_lines(path: Path) -> list[dict[str, Any]]:
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            entry = json.loads(line)
        except ValueError:  # cut off when the run was killed
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def _find_predictions(folder: Path) -> tuple[list[dict[str, Any]], Path | None]:
    found = sorted(
        (path for path in folder.rglob("*_*.json") if path.parent.name == "reports" or path.parent == folder
         or path.parent.name == "predictions"), key=lambda path: path.stat().st_mtime, reverse=True,
    )
    for path in found:
        try:
            return read_predictions(path), path
        except (PredictionsError, OSError):  # another JSON file of the run
            continue
    return [], None


def _most_common(records: list[dict[str, Any]]) -> float:
    return Counter(record["target"] for record in records).most_common(1)[0][1] / len(records)


def _most_common_soft(records: list[dict[str, Any]]) -> float:
    totals: Counter = Counter()
    for record in records:
        totals.update(record["target"])
    return totals.most_common(1)[0][1] / len(records) if totals else 0.0


def _variance(records: list[dict[str, Any]]) -> float:
    return float(torch.tensor([float(record["target"]) for record in records]).var(unbiased=False))


#: Task -> (its main metric, whether smaller is better, what chance gives: a random rank or option, or the one answer that
#: does best whatever is asked).
MAIN_METRICS: dict[str, tuple[str, bool, Callable[[list[dict[str, Any]]], float]]] = {
    "retrieval": ("clipbert_t2v_r1", False, lambda records: 1 / len(records)),
    "open_ended": ("clipbert_accuracy", False, _most_common),
    "multiple_choice": ("clipbert_accuracy", False, lambda records: sum(1 / len(r["options"]) for r in records) / len(records)),
    "soft_answers": ("clipbert_vqa_accuracy", False, _most_common_soft),
    "count": ("clipbert_count_mse", True, _variance),
    "pretraining": ("clipbert_itm_accuracy", False, _most_common),
}
