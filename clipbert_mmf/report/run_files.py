"""What a run left behind: configuration, curves, metrics, predictions, data health; missing parts stay empty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipbert_mmf.inference.predictions import PredictionsError, evaluate_predictions, read_predictions
from clipbert_mmf.inference.settings import read_json_lines, read_yaml
from clipbert_mmf.scoring import chance
from clipbert_mmf.scoring.metrics import split_metric_name


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

    @property
    def dataset(self) -> str:
        """Which of its datasets the page is about: that of the predictions, or the first."""
        return (
            str(self.predictions[0]["dataset"]) if self.predictions else self.datasets.split(",")[0].strip()
        )

    def final_metrics(self) -> dict[str, float]:
        """Return the last metrics of the test split, or of the validation split where there is no test, by short name."""
        for split in ("test", "val"):
            found = [r for r in self.records if r.get("split") == split and r.get("metrics")]
            if found:
                every = found[-1]["metrics"]
                own = {name: value for name, value in every.items() if f"/{self.dataset}/" in name} or every
                return {split_metric_name(name)[2]: value for name, value in own.items()}
        return evaluate_predictions(self.predictions) if self.predictions else {}


def read_run_files(folder: str | Path, dataset: str | None = None) -> RunFiles:
    """Read a run's folder.

    Args:
        folder: of the run.
        dataset: whose predictions to read, where there are several; None reads the newest.

    Raises:
        FileNotFoundError: if it is no folder, or holds neither a configuration nor metrics.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"run '{folder}': no such folder")
    config_file, metrics_file = folder / "config.yaml", folder / "metrics.jsonl"
    if not config_file.is_file() and not metrics_file.is_file():
        raise FileNotFoundError(
            f"run '{folder}' has neither config.yaml nor metrics.jsonl; is it the folder of a run?"
        )
    predictions, file = _find_predictions(folder, dataset)
    unreadable = [
        entry for path in sorted(folder.glob("unreadable_*.jsonl")) for entry in read_json_lines(path)
    ]
    return RunFiles(
        folder,
        read_yaml(config_file) if config_file.is_file() else {},
        read_json_lines(metrics_file),
        unreadable,
        predictions,
        file,
    )


def _find_predictions(folder: Path, dataset: str | None) -> tuple[list[dict[str, Any]], Path | None]:
    found = sorted(
        (
            path
            for path in folder.rglob("*_*.json")
            if path.parent.name == "reports" or path.parent == folder or path.parent.name == "predictions"
        ),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in found:
        try:
            records = read_predictions(path)
            if dataset in (None, records[0]["dataset"]):
                return records, path
        except (PredictionsError, OSError):  # another JSON file of the run
            continue
    return [], None


def _targets(records: list[dict[str, Any]]) -> list[Any]:
    return [record["target"] for record in records]


#: Task -> (its main metric, whether smaller is better, what chance gives: a random rank or option, or the one answer that
#: does best whatever is asked).
MAIN_METRICS: dict[str, tuple[str, bool, Callable[[list[dict[str, Any]]], float]]] = {
    "retrieval": ("clipbert_retrieval/t2v_r1", False, lambda records: chance.guess_rank(len(records))),
    "open_ended": (
        "clipbert_answers/accuracy",
        False,
        lambda records: chance.guess_answer(_targets(records)),
    ),
    "multiple_choice": (
        "clipbert_answers/accuracy",
        False,
        lambda records: chance.guess_option([len(record["options"]) for record in records]),
    ),
    "soft_answers": (
        "clipbert_vqa/accuracy",
        False,
        lambda records: chance.guess_soft_answer(_targets(records)),
    ),
    "count": ("clipbert_count/mse", True, lambda records: chance.guess_count(_targets(records))),
    "pretraining": (
        "clipbert_pretraining/itm_accuracy",
        False,
        lambda records: chance.guess_answer(_targets(records)),
    ),
}
