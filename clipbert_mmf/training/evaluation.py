"""Evaluation and prediction of the registered trainer: every item once, the same numbers on any number of processes.

Each process reads its share; what the metrics need is brought together in the dataset's order on all processes, so any
metric, MMF's too, sees what one process would have seen.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from mmf.common.meter import Meter
from mmf.common.report import Report
from torch import Tensor
from torch import distributed as dist

from clipbert_mmf.settings import read_setting
from clipbert_mmf.training.distributed import gather_everywhere, get_rank, get_world_size
from clipbert_mmf.training.loaders import make_evaluation_loader
from clipbert_mmf.training.logging import format_numbers, format_seconds, show_progress
from clipbert_mmf.training.retrieval_evaluation import MatrixEvaluation, suits
from clipbert_mmf.training.sharding import whole_weights

logger = logging.getLogger(__name__)

#: Metrics of main that ask for this get what ``dataset.format_for_prediction`` returns.
_PREDICTIONS = "__prediction_report__"
#: Fields that the score matrix of retrieval does not have; where a metric asks for one, batches are evaluated.
_OF_BATCHES = {
    "frames",
    "clip_scores",
    "clip_times_sec",
    "input_ids",
    "input_mask",
    "segment_ids",
    _PREDICTIONS,
}


@dataclass
class Evaluation:
    """What one evaluation of a split gave, equal on all processes.

    Attributes:
        report: of the last dataset, with ``metrics``.
        meter: MMF's container of the same numbers, read by early stopping and by callbacks.
        losses: mean per item, by key; all datasets.
        metrics: by key; all datasets.
        seconds: duration.
    """

    report: Report | None = None
    meter: Meter = field(default_factory=Meter)
    losses: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


class EvaluationLoop(MatrixEvaluation):
    """What the trainers of both MMFs share in evaluation and prediction.

    Expects of the trainer what ``TrainingLoop`` does, and ``evaluation_loaders(split)``: name -> MMF's loader.
    """

    def evaluate_split(self, split: str, final: bool = False) -> Evaluation:
        """Evaluate all datasets of a split; every process must call it. A ``final`` one may keep its scores on disk."""
        begin = time.monotonic()
        evaluation = Evaluation()
        self.model.eval()
        with torch.no_grad():
            for name, loader in self.evaluation_loaders(split).items():
                evaluation.report = self._evaluate_dataset(split, name, loader, final)
                evaluation.metrics.update(
                    {key: float(v.mean()) for key, v in evaluation.report.metrics.items()}
                )
                self._add_losses(evaluation, split)
        self.model.train()
        evaluation.seconds = time.monotonic() - begin
        return evaluation

    @staticmethod
    def _add_losses(evaluation: Evaluation, split: str) -> None:
        report, meters = evaluation.report, evaluation.meter.meters
        losses = {key: float(value) for key, value in report.losses.items()}
        evaluation.losses.update(losses)
        if losses:  # without any, a total of 0 would make the first validation the best for ever
            for key, value in {**losses, f"{split}/total_loss": sum(losses.values())}.items():
                meters[key].update(value, report.batch_size)
            evaluation.losses[f"{split}/total_loss"] = float(meters[f"{split}/total_loss"].global_avg)
        for key, value in report.metrics.items():
            meters[key].update(float(value.mean()), report.batch_size)

    def _evaluate_dataset(self, split: str, name: str, loader, final: bool) -> Report:
        asked = set(self.metrics.required_params)
        network = self.bare_model.network_for(name) if hasattr(self.bare_model, "network_for") else None
        if suits(loader.dataset, network) and not asked & _OF_BATCHES:
            with whole_weights(self.model):
                return self.evaluate_matrix(split, name, loader, network, final)
        wanted = set(self.metrics.required_params) - {"dataset_name", "dataset_type", _PREDICTIONS}
        predicts = _PREDICTIONS in self.metrics.required_params
        chunks: dict[str, list] = {}
        losses: dict[str, float] = {}
        results: list = []
        counted = 0
        items: list[int] = []
        for items, report in self._run_batches(split, name, loader):
            size = report.get_batch_size()
            counted += size
            for field in wanted & set(report.keys()):
                chunks.setdefault(field, []).append(self._keep(report[field]))
            for key, value in (report.get("losses") or {}).items():
                losses[key] = losses.get(key, 0.0) + float(value.mean()) * size
            if predicts:
                results.extend(self._format(loader.dataset, report))
        fields = {field: _join(parts) for field, parts in chunks.items()}
        parts = gather_everywhere((items, fields, losses, counted, results))
        fields = {field: self._place(value) for field, value in merge_fields(parts).items()}
        report = Report([("dataset_name", name), ("dataset_type", split), *fields.items()])
        report.batch_size = sum(part[3] for part in parts)
        if not report.batch_size:
            raise ValueError(f"the {split} split of '{name}' is empty")
        keys = sorted({key for part in parts for key in part[2]})
        report.losses = {
            key: torch.tensor([sum(part[2].get(key, 0.0) for part in parts) / report.batch_size])
            for key in keys
        }
        if predicts:
            report.prediction_report = merge_lists([(part[0], part[4]) for part in parts])
        report.metrics = self.metrics(report, report)
        return report

    def _run_batches(self, split: str, name: str, loader):
        """Yield (items of this process, report) per batch, the model run in the configured precision."""
        own, items = make_evaluation_loader(loader, name, self.worker_options)
        with whole_weights(self.model):
            for batch in show_progress(own, len(own), f"{split} of {name}", enabled=get_rank() == 0):
                batch = self.prepare_batch(batch, loader.dataset, name, split)
                with self.precision.autocast():
                    output = self.bare_model(batch)
                yield items, self.make_report(batch, output)

    def _keep(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return list(value) if isinstance(value, (list, tuple)) else [value]
        value = value.detach()
        if value.is_floating_point():
            value = value.float()  # a metric in bf16 would tie what the model tells apart
        if get_world_size() > 1 or read_setting(self.config.evaluation, "use_cpu", False):
            value = value.cpu()
        return value.reshape(1) if value.dim() == 0 else value

    def _place(self, value: Any) -> Any:
        if isinstance(value, Tensor) and not read_setting(self.config.evaluation, "use_cpu", False):
            return value.to(self.device)
        return value

    # ---- what is told

    def log_evaluation(self, split: str, evaluation: Evaluation, final: bool = False) -> None:
        """Write the numbers of an evaluation; ``final`` are those of a finished run's best state."""
        update = self.num_updates
        if final and "train" in self.run_type and self.early_stopping.best_monitored_update:
            update = self.early_stopping.best_monitored_update
        self.metrics_file.write(
            {
                "split": split,
                "update": update,
                "epoch": self.current_epoch,
                "losses": evaluation.losses,
                "metrics": evaluation.metrics,
                "seconds": evaluation.seconds,
                **({"final": True} if final else {}),
            }
        )
        values = {**evaluation.losses, **evaluation.metrics}
        self.note_scalars(values, self.num_updates)
        logger.info(
            "%s%s after update %d: %s (%s)",
            "final " if final else "",
            split,
            update,
            format_numbers(values),
            format_seconds(evaluation.seconds),
        )

    # ---- after training

    def run_inference(self) -> None:
        """Evaluate, or predict, the splits that ``run_type`` names."""
        splits = ["val"] if "val" in self.run_type else []
        if any(word in self.run_type for word in ("inference", "test", "predict")):
            splits.append("test")
        for split in splits:
            if self.config.evaluation.predict:
                self.call_hook("on_prediction_start")
                self._predict(split)
                self.call_hook("on_prediction_end")
            else:
                self.call_hook("on_test_start")
                evaluation = self.evaluate_split(split, final=True)
                self.log_evaluation(split, evaluation, final=True)
                self.call_hook("on_test_end", report=evaluation.report, meter=evaluation.meter)

    def _predict(self, split: str) -> None:
        reporter = self.dataset_loader.get_test_reporter(split)
        self.model.eval()
        with torch.no_grad():
            while reporter.next_dataset():
                loader = reporter.get_dataloader()
                dataset = loader.dataset
                results: list = []
                items: list[int] = []
                for items, report in self._run_batches(split, dataset.dataset_name, loader):
                    results.extend(self._format(dataset, report))
                merged = self._gather_results(items, results)
                if get_rank() == 0:
                    reporter.report = merged
                    if hasattr(reporter, "postprocess_dataset_report"):
                        reporter.postprocess_dataset_report()
        self.model.train()

    def _format(self, dataset, report: Report) -> list:
        results = dataset.format_for_prediction(report) if hasattr(dataset, "format_for_prediction") else []
        if hasattr(self.bare_model, "format_for_prediction"):
            results = self.bare_model.format_for_prediction(results, report)
        return list(results)

    @staticmethod
    def _gather_results(items: list[int], results: list) -> list:
        if get_world_size() == 1:
            return results
        parts: list = [None] * get_world_size()
        dist.gather_object((items, results), parts if get_rank() == 0 else None)
        return merge_lists(parts) if get_rank() == 0 else []


def _join(parts: list) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    return [value for part in parts for value in part]


def merge_fields(parts: list[tuple]) -> dict[str, Any]:
    """Bring the fields of all processes together, in the order of the dataset's items.

    Args:
        parts: per process ``(items, fields, ...)``; a field has as many rows per item as the others', or any number if
            rows do not divide by items (then the processes follow one another).
    """
    if len(parts) == 1:
        return parts[0][1]
    merged: dict[str, Any] = {}
    for field in sorted({field for part in parts for field in part[1]}):
        held = [(part[0], part[1][field]) for part in parts if field in part[1]]
        if isinstance(held[0][1], Tensor):
            merged[field] = _merge_tensors(held)
        else:
            merged[field] = merge_lists(held)
    return merged


def _merge_tensors(held: list[tuple[list[int], Tensor]]) -> Tensor:
    items = [item for part, _ in held for item in part]
    rows = torch.cat([value for _, value in held])
    if (
        not items
        or len(rows) % len(items)
        or any(len(value) * len(items) != len(rows) * len(part) for part, value in held)
    ):
        return rows
    order = torch.argsort(torch.tensor(items))
    return rows.view(len(items), -1, *rows.shape[1:])[order].reshape(rows.shape)


def merge_lists(held: list[tuple[list[int], list]]) -> list:
    """Bring one result per item into the order of the items.

    Where there are more or fewer, results that tell their ``item`` are ordered by it; others keep the processes' order.
    """
    if any(len(items) != len(values) for items, values in held):
        values = [value for _, values in held for value in values]
        tell_item = all(isinstance(value, dict) and isinstance(value.get("item"), int) for value in values)
        return sorted(values, key=lambda value: value["item"]) if tell_item else values
    pairs = [pair for items, values in held for pair in zip(items, values)]
    return [value for _, value in sorted(pairs, key=lambda pair: pair[0])]
