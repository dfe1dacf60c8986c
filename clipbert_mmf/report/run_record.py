"""Read the folder of a run: configuration, curves, metrics, predictions, unreadable media.

Missing parts stay empty.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from clipbert_mmf.annotations.sources import load_sources, parse_sources
from clipbert_mmf.inference.predictions import evaluate_predictions, find_predictions
from clipbert_mmf.inference.recipe import refuse_old_run
from clipbert_mmf.inference.settings import read_json_lines, read_run_records, read_yaml
from clipbert_mmf.scoring.metrics import split_metric_name
from clipbert_mmf.scoring.outcomes import Outcomes, load_outcomes, read_outcomes
from clipbert_mmf.tasks.datasets import DatasetSpec
from clipbert_mmf.tasks.task import TASKS, Task
from clipbert_mmf.training.results import Result, describe_results

#: What the lines of ``train.log`` tell.
_LOG_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d) \|", re.MULTILINE)
_LOG_DATA = re.compile(r": (\S+) \((\w+)\): (\d+) rows, (\d+ (?:videos|images)),")
_LOG_SIZE = re.compile(r": training (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class RunRecord:
    """A run as it can be read from its folder.

    Attributes:
        folder: folder of the run.
        config: configuration as MMF saved it, resolved; empty where there is none.
        records: lines of ``metrics.jsonl``, then those of later evaluations of the run's weights.
        unreadable: media that training could not read: key and reason.
        predictions: records of the newest file, empty where there is none.
        predictions_file: path of that file.
    """

    folder: Path
    config: dict[str, Any]
    records: list[dict[str, Any]]
    unreadable: list[dict[str, str]]
    predictions: list[dict[str, Any]] = field(default_factory=list)
    predictions_file: Path | None = None

    @property
    def datasets(self) -> str:
        """Names of the datasets it was trained on, comma separated."""
        return str(self.config.get("datasets") or "unknown data")

    @property
    def dataset(self) -> str:
        """Name of the dataset that a report is about: that of the predictions, or the first."""
        return (
            str(self.predictions[0]["dataset"]) if self.predictions else self.datasets.split(",")[0].strip()
        )

    @property
    def task(self) -> Task | None:
        """Task of the predictions, or None where there are none."""
        return TASKS[self.predictions[0]["task"]] if self.predictions else None

    def read_metrics(self, split: str, dataset: str | None = None) -> dict[str, float]:
        """Return the last metrics of a split by short name.

        Args:
            split: ``val`` or ``test``.
            dataset: whose alone; None takes those of the record's ``dataset`` where it has some.
        """
        found = [r["metrics"] for r in self.records if r.get("split") == split and r.get("metrics")]
        every = {split_metric_name(name): value for name, value in (found[-1] if found else {}).items()}
        own = {name: value for name, value in every.items() if name[1] == (dataset or self.dataset)}
        own = own or ({} if dataset else every)
        return {short: value for (_, _, short), value in own.items()}

    @property
    def final_split(self) -> str:
        """The split that ``final_metrics`` are of: ``test``, else ``val``; empty where they are of predictions."""
        return next((split for split in ("test", "val") if self.read_metrics(split)), "")

    def final_metrics(self) -> dict[str, float]:
        """Return the last metrics of the test split, else of the validation split, else of the predictions."""
        if self.final_split:
            return self.read_metrics(self.final_split)
        return evaluate_predictions(self.predictions) if self.predictions else {}

    def final_results(self) -> list[Result]:
        """Return ``final_metrics`` in words, with interval and chance where they are known, counts as remarks."""
        numbers, split = self.final_metrics(), self.final_split
        where = f"{split or 'test'}/{self.dataset}/"
        outcomes = {} if split else read_outcomes(numbers)
        chances: dict[str, float] = {}
        if self.task is not None and not split:
            chances[self.task.main_metric] = self.task.guess_from_predictions(self.predictions)
        results = describe_results(
            {where + name: value for name, value in numbers.items()},
            {where + name: rows for name, rows in outcomes.items()},
            chances,
        )
        if not split:
            return results
        # An older run has numbers alone; its predictions know what they are called.
        known = read_outcomes(evaluate_predictions(self.predictions)) if self.predictions else {}
        words = {
            name: {"title": rows.title or name, "is_share": rows.is_share} for name, rows in known.items()
        }
        told = self.read_told_results(self.final_split)
        return [replace(one, **{**words.get(one.metric, {}), **told.get(one.metric, {})}) for one in results]

    def read_told_results(self, split: str, dataset: str | None = None) -> dict[str, dict[str, Any]]:
        """Return what the last evaluation of a split said about each number; empty for an older run.

        Args:
            split: ``val`` or ``test``.
            dataset: whose alone; None takes those of the record's ``dataset`` where it has some.
        """
        lines = [r for r in self.records if r.get("split") == split and r.get("metrics")]
        results = (lines[-1].get("results") or []) if lines else []
        own = [one for one in results if one["dataset"] == (dataset or self.dataset)]
        own = own or ([] if dataset else results)
        known = {entry.name for entry in fields(Result)}
        return {one["metric"]: {key: value for key, value in one.items() if key in known} for one in own}

    def describe(self) -> list[tuple[str, str]]:
        """Return when, how long, on what and how large the run was, as its ``train.log`` tells; pairs of words."""
        path = self.folder / "train.log"
        log = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        rows: list[tuple[str, str]] = []
        times = [datetime.fromisoformat(time) for time in _LOG_TIME.findall(log)]
        if times:
            rows.append(("date", f"{times[0]:%d %B %Y, %H:%M}".lstrip("0")))
            rows.append(("duration", _describe_duration((times[-1] - times[0]).total_seconds())))
        data = [
            f"{name} {split}: {rows} rows, {media}" for name, split, rows, media in _LOG_DATA.findall(log)
        ]
        if data:
            rows.append(("data", "; ".join(dict.fromkeys(data))))
        sizes = _LOG_SIZE.findall(log)
        if sizes:
            rows.append(("size", sizes[-1]))
        return rows

    def read_outcomes(self, split: str) -> dict[str, Outcomes]:
        """Return what each text contributed to the metrics of a split, by short name.

        Empty for an older run; outcomes that do not give the recorded metric are of another evaluation, and
        left out.
        """
        path, metrics = self.folder / f"outcomes_{split}_{self.dataset}.npz", self.read_metrics(split)
        if not path.is_file():
            return {}
        found = {split_metric_name(name)[2]: rows for name, rows in load_outcomes(path).items()}
        return {
            name: rows
            for name, rows in found.items()
            if name in metrics and math.isclose(rows.value, metrics[name], rel_tol=1e-5, abs_tol=1e-6)
        }

    def guess_from_annotations(self, spec: DatasetSpec) -> float:
        """Return the main number that chance gives on the test split, from the configured annotations.

        Args:
            spec: a dataset of the run.

        Raises:
            FileNotFoundError: if the annotations are not there.
            ValueError: if the truth is not in the annotations.
        """
        section = self.config["dataset_config"][spec.name]
        where = f"dataset_config.{spec.name}.annotations.test"
        root = Path(section["data_dir"]).expanduser().resolve()
        sources = parse_sources(section["annotations"]["test"], where)
        records = load_sources(sources, root, spec.corpus, where=where)
        task = TASKS[section.get("task") or spec.task]
        return task.guess_from_annotations([records[row] for row in range(len(records))])


def read_run_record(folder: str | Path, dataset: str | None = None) -> RunRecord:
    """Read the folder of a run.

    Args:
        folder: folder of the run.
        dataset: dataset whose predictions to read, where there are several; None reads the newest.

    Raises:
        FileNotFoundError: if it is no folder, or holds neither a configuration nor metrics.
        RecipeError: if version 0.1 wrote it.
        PredictionsError: if its newest predictions are damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"run '{folder}': no such folder")
    config_file, metrics_file = folder / "config.yaml", folder / "metrics.jsonl"
    if not config_file.is_file() and not metrics_file.is_file():
        raise FileNotFoundError(
            f"run '{folder}' has neither config.yaml nor metrics.jsonl; is it the folder of a run?"
        )
    config = read_yaml(config_file) if config_file.is_file() else {}
    refuse_old_run(config, str(config_file))
    predictions, file = find_predictions(folder, dataset)
    unreadable = [
        entry for path in sorted(folder.glob("unreadable_*.jsonl")) for entry in read_json_lines(path)
    ]
    return RunRecord(
        folder,
        config,
        read_run_records(folder),
        unreadable,
        predictions,
        file,
    )


def _describe_duration(seconds: float) -> str:
    """Return ``2 h 5 min`` or ``3 min 20 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
