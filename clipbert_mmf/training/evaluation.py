"""Evaluates and predicts: every item once, the same numbers on any number of processes.

Each process reads its share. The fields that metrics ask for are gathered once, in the order of the dataset's
items, on all processes; so any metric, MMF's too, sees what one process would have seen.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist
from torch.utils.data import DataLoader

from clipbert_mmf.models.network import DatasetNetwork
from clipbert_mmf.scoring.gathering import as_gathered
from clipbert_mmf.scoring.outcomes import Outcomes, write_outcomes
from clipbert_mmf.scoring.validity import check_items, check_scores
from clipbert_mmf.tasks.task import TASKS
from clipbert_mmf.training.distributed import gather_everywhere, get_rank, get_world_size
from clipbert_mmf.training.host import Host, Report
from clipbert_mmf.training.loaders import make_evaluation_loader
from clipbert_mmf.training.logging import format_numbers, format_seconds, show_progress
from clipbert_mmf.training.results import Result, describe_results, format_results
from clipbert_mmf.training.retrieval_evaluation import MatrixEvaluation, supports_matrix_evaluation
from clipbert_mmf.training.run import Run
from clipbert_mmf.training.sharding import unshard_parameters

logger = logging.getLogger(__name__)

#: Metrics of MMF's main that ask for this get what ``dataset.format_for_prediction`` returns.
_PREDICTIONS = "__prediction_report__"
#: Fields of the model's output that results follow from.
_SCORES = ("scores", "clip_scores")
#: Fields that the score matrix of retrieval does not have; where a metric asks for one, batches are
#: evaluated.
_BATCH_FIELDS = {
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
    """Holds the result of one evaluation of a split, equal on all processes.

    Attributes:
        report: fields of the last dataset, with ``losses`` and ``metrics``.
        losses: means per item by key, of all datasets; ``<split>/total_loss`` is the mean over all their
            items.
        metrics: by key, of all datasets.
        results: of a final evaluation, the metrics with their intervals and chance.
        seconds: duration.
    """

    report: Report | None = None
    losses: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def numbers(self) -> dict[str, float]:
        """Losses and metrics together."""
        return {**self.losses, **self.metrics}


@dataclass
class _Share:
    """Holds the part of a split that one process evaluated.

    Attributes:
        items: numbers of the items, in the order they were read.
        fields: one value for each item, by name of the field.
        losses: sums over items, by key.
        num_items: number of items that were counted.
        predictions: in the order of ``items``; empty unless a metric asks for them.
    """

    items: list[int]
    fields: dict[str, Any]
    losses: dict[str, float]
    num_items: int
    predictions: list[Any]


class Evaluator:
    """Evaluates and predicts the splits of a run.

    Args:
        run: gives the model and the options.
        host: gives loaders and metrics.
    """

    def __init__(self, run: Run, host: Host) -> None:
        self.run, self.host, self.options = run, host, run.options.evaluation

    def evaluate(self, split: str, final: bool = False) -> Evaluation:
        """Evaluate all datasets of a split; every process must call it.

        Args:
            split: ``val`` or ``test``.
            final: the evaluation after training, which may keep its scores on disk.
        """
        begin = time.monotonic()
        evaluation = Evaluation()
        loss_sum, num_items = 0.0, 0
        self.run.model.eval()
        with torch.no_grad():
            for name, loader in self.host.list_loaders(split).items():
                report = self._evaluate_dataset(split, name, loader, final)
                evaluation.report = report
                metrics = {key: float(value.mean()) for key, value in report["metrics"].items()}
                evaluation.metrics.update(metrics)
                if final and get_rank() == 0:
                    evaluation.results += self._describe_results(split, name, loader.dataset, report, metrics)
                losses = {key: float(value) for key, value in report["losses"].items()}
                evaluation.losses.update(losses)
                if losses:  # without any, a total of 0 would make the first validation the best for ever
                    loss_sum += sum(losses.values()) * report.get_batch_size()
                    num_items += report.get_batch_size()
        self.run.model.train()
        if num_items:
            evaluation.losses[f"{split}/total_loss"] = loss_sum / num_items
        evaluation.seconds = time.monotonic() - begin
        return evaluation

    def log(self, split: str, evaluation: Evaluation, final: bool = False) -> None:
        """Write the numbers of an evaluation; ``final`` ones are of the best state of a finished run."""
        run, update = self.run, self.run.num_updates
        if final and run.restored_update is not None:
            update = run.restored_update
        run.metrics_file.write(
            {
                "split": split,
                "update": update,
                "epoch": run.current_epoch,
                "losses": evaluation.losses,
                "metrics": evaluation.metrics,
                "seconds": evaluation.seconds,
                **({"final": True, "results": [r.to_record() for r in evaluation.results]} if final else {}),
                **({} if run.options.trains or not run.loaded_file else {"checkpoint": str(run.loaded_file)}),
            }
        )
        self.host.log_scalars(evaluation.numbers, run.num_updates, losses={})
        logger.info(
            "%s%s after update %d: %s (%s)",
            "final " if final else "",
            split,
            update,
            # A final evaluation's metrics follow in the table of ``run_final``.
            format_numbers(evaluation.losses if evaluation.results else evaluation.numbers),
            format_seconds(evaluation.seconds),
        )

    def run_final(self) -> None:
        """Evaluate, or predict, the splits that ``run_type`` names; every process must call it."""
        run_type = self.run.options.run_type
        splits = ["val"] if "val" in run_type else []
        if any(word in run_type for word in ("inference", "test", "predict")):
            splits.append("test")
        results: list[Result] = []
        for split in splits:
            if self.options.predict:
                self._predict(split)
                continue
            self.host.call_hook("on_test_start")
            evaluation = self.evaluate(split, final=True)
            self.log(split, evaluation, final=True)
            self.host.call_hook("on_test_end", report=evaluation.report, numbers=evaluation.numbers)
            results += evaluation.results
        if results:
            logger.info("results\n%s", format_results(results))

    # ---- one dataset

    def _evaluate_dataset(self, split: str, name: str, loader: DataLoader[Any], final: bool) -> Report:
        asked = self.host.list_metric_fields()
        network = self.host.find_network(name)
        if network and supports_matrix_evaluation(loader.dataset, network) and not asked & _BATCH_FIELDS:
            with unshard_parameters(self.run.model):
                report = self._evaluate_matrix(split, name, loader, network, final)
        else:
            report = self._evaluate_batches(split, name, loader, asked)
        with as_gathered():  # every process holds all items
            report["metrics"] = self.host.compute_metrics(report)
        return report

    def _evaluate_batches(self, split: str, name: str, loader: DataLoader[Any], asked: set[str]) -> Report:
        """Return the fields that metrics ask for and the losses, of all items in the order of the dataset."""
        share = self.run.interrupts.run_share(lambda: self._evaluate_share(split, name, loader, asked))
        shares = gather_everywhere(share)
        num_items = sum(share.num_items for share in shares)
        if not num_items:
            raise ValueError(f"the {split} split of '{name}' is empty")
        fields = merge_fields([(share.items, share.fields) for share in shares])
        items = [item for share in shares for item in share.items]
        check_items(
            fields["item_index"].tolist() if "item_index" in fields else items,
            len(cast(Any, loader.dataset)),
            lambda item: _name_item(loader.dataset, item),
        )
        fields = {key: self._place(value) for key, value in fields.items()}
        report = self.host.make_split_report(name, split, fields, num_items)
        report["losses"] = {
            key: torch.tensor([sum(share.losses.get(key, 0.0) for share in shares) / num_items])
            for key in sorted({key for share in shares for key in share.losses})
        }
        if _PREDICTIONS in asked:
            report["prediction_report"] = merge_lists([(share.items, share.predictions) for share in shares])
        return report

    def _evaluate_share(self, split: str, name: str, loader: DataLoader[Any], asked: set[str]) -> _Share:
        wanted = asked - {"dataset_name", "dataset_type", _PREDICTIONS}
        chunks: dict[str, list[Any]] = {}
        share = _Share([], {}, {}, 0, [])
        for items, report in self._run_batches(split, name, loader):
            size = report.get_batch_size()
            share.items = items
            share.num_items += size
            for key in wanted & set(report.keys()):
                chunks.setdefault(key, []).append(self._keep(report[key]))
            losses: dict[str, Tensor] = report.get("losses") or {}
            for key, value in losses.items():
                share.losses[key] = share.losses.get(key, 0.0) + float(value.mean()) * size
            if _PREDICTIONS in asked:
                share.predictions.extend(self._format(loader.dataset, report))
        share.fields = {key: _join(parts) for key, parts in chunks.items()}
        return share

    def _run_batches(
        self, split: str, name: str, loader: DataLoader[Any]
    ) -> Iterator[tuple[list[int], Report]]:
        """Yield (all items of this process, report) for each batch, the model run in the configured precision."""
        own, items = make_evaluation_loader(loader, name, self.run.options.workers)
        model = self.run.bare_model
        with unshard_parameters(self.run.model):
            read = self.run.interrupts.read(own)
            for batch in show_progress(read, len(own), f"{split} of {name}", enabled=get_rank() == 0):
                prepared = self.host.prepare_batch(batch, loader.dataset, name, split)
                with self.run.precision.autocast():
                    output = model(prepared)
                report = self.host.make_report(prepared, output)
                check_report(report, loader.dataset, f"{split} of {name}")
                yield items, report

    def _keep(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return list(cast(Sequence[Any], value)) if isinstance(value, (list, tuple)) else [value]
        value = value.detach()
        if value.is_floating_point():
            value = value.float()  # a metric in bf16 would tie what the model tells apart
        if get_world_size() > 1 or self.options.use_cpu:
            value = value.cpu()
        return value.reshape(1) if value.dim() == 0 else value

    def _place(self, value: Any) -> Any:
        return value.to(self.run.device) if isinstance(value, Tensor) and not self.options.use_cpu else value

    def _describe_results(
        self, split: str, name: str, dataset: Any, report: Report, metrics: dict[str, float]
    ) -> list[Result]:
        """Return the metrics of a dataset with intervals and chance; keep the outcomes for paired tests."""
        where = f"{split} of {name}"
        outcomes = self._trace(where, dataset, report, metrics)
        if outcomes:
            write_outcomes(self.run.metrics_file.path.parent / f"outcomes_{split}_{name}.npz", outcomes)
        return describe_results(metrics, outcomes, _guess(where, dataset))

    def _trace(
        self, where: str, dataset: Any, report: Report, metrics: dict[str, float]
    ) -> dict[str, Outcomes]:
        """Return the outcomes that give the metrics, with the keys of media; what is wrong with others is told."""
        try:
            with as_gathered():
                traced = self.host.trace_metrics(report)
            traced = {key: _name_media(rows, dataset) for key, rows in traced.items() if key in metrics}
        except Exception as error:  # a user's metric may not cost the run its numbers
            logger.warning("%s: no intervals, outcomes fail with %s: %s", where, type(error).__name__, error)
            return {}
        outcomes: dict[str, Outcomes] = {}
        for key, rows in traced.items():
            if math.isclose(rows.value, metrics[key], rel_tol=1e-4, abs_tol=1e-5):
                outcomes[key] = rows
            else:
                logger.warning(
                    "%s: no interval, its outcomes give %g and not %g", key, rows.value, metrics[key]
                )
        return outcomes

    # ---- retrieval

    def _evaluate_matrix(
        self, split: str, name: str, loader: DataLoader[Any], network: DatasetNetwork, final: bool
    ) -> Report:
        """Return the scores of all pairs of a retrieval dataset, and the losses over them."""
        fields = MatrixEvaluation(
            network,
            loader,
            lambda batch: self.host.prepare_batch(batch, loader.dataset, name, split),
            self.run.precision,
            self.run.options.workers,
            title=f"{split} of {name}",
            score_store=self.options.score_store if final else None,
            rerank_top_k=self.options.rerank_top_k,
            interrupts=self.run.interrupts,
        ).run()
        num_items = len(fields["targets"])
        # Losses of a re-ranked matrix would be of other pairs than those of a whole one.
        losses = (
            {} if self.options.rerank_top_k is not None else self._compute_matrix_losses(split, name, fields)
        )
        fields = {key: self._place(value) for key, value in fields.items()}
        report = self.host.make_split_report(name, split, fields, num_items)
        report["losses"] = losses
        return report

    def _compute_matrix_losses(self, split: str, name: str, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses over all pairs of the videos that could be read."""
        kept = fields["readable"].bool()
        if not kept.any():
            return {}
        targets = fields["targets"]
        scores = fields["scores"].view(*targets.shape, -1)[kept].flatten(0, 1)
        rows = {"targets": targets[kept], "scores": scores}
        report = self.host.make_split_report(name, split, rows, int(kept.sum()))
        return {key: value.mean().reshape(1) for key, value in self.host.compute_losses(report).items()}

    # ---- predictions

    def _predict(self, split: str) -> None:
        self.host.call_hook("on_prediction_start")
        self.run.model.eval()
        with torch.no_grad():
            self.host.write_predictions(split, lambda loader: self._predict_dataset(split, loader))
        self.run.model.train()
        self.host.call_hook("on_prediction_end")

    def _predict_dataset(self, split: str, loader: DataLoader[Any]) -> list[Any]:
        """Return the predictions of a dataset in the order of its items, on rank 0; nothing on the others."""
        items, results = self.run.interrupts.run_share(lambda: self._predict_share(split, loader))
        if get_world_size() == 1:
            return results
        parts: list[Any] = [None] * get_world_size()
        dist.gather_object((items, results), parts if get_rank() == 0 else None)
        return merge_lists(parts) if get_rank() == 0 else []

    def _predict_share(self, split: str, loader: DataLoader[Any]) -> tuple[list[int], list[Any]]:
        """Return the numbers of this process's items, and their predictions."""
        results: list[Any] = []
        items: list[int] = []
        dataset: Any = loader.dataset
        for items, report in self._run_batches(split, dataset.dataset_name, loader):  # noqa: B007 the last one counts
            results.extend(self._format(dataset, report))
        return items, results

    def _format(self, dataset: Any, report: Report) -> list[Any]:
        results: Any = []
        if hasattr(dataset, "format_for_prediction"):
            results = dataset.format_for_prediction(report)
        model: Any = self.run.bare_model
        if hasattr(model, "format_for_prediction"):
            results = model.format_for_prediction(results, report)
        return list(results)


def _guess(where: str, dataset: Any) -> dict[str, float]:
    """Return what guessing gives, by short name of the number."""
    task, maker = TASKS.get(getattr(dataset, "task_name", "")), getattr(dataset, "maker", None)
    if task is None or maker is None:
        return {}
    try:
        return task.guess_all([maker.records[row] for row in range(len(maker.records))])
    except Exception as error:  # a user's task may not cost the run its numbers
        logger.warning("%s: chance is not told, it fails with %s: %s", where, type(error).__name__, error)
        return {}


def _name_media(rows: Outcomes, dataset: Any) -> Outcomes:
    """Return outcomes by the keys of the media; a dataset without them has a medium in each item."""
    maker = getattr(dataset, "maker", None)
    items = np.unique(rows.media).tolist()
    return rows.name_media({item: str(item) if maker is None else maker.media_key(item) for item in items})


def check_report(report: Report, dataset: Any, title: str) -> None:
    """Check the scores of a batch before anything follows from them.

    Args:
        report: batch and output; without the fields of our datasets, items are named by their place in the batch.
        dataset: whose items they are.
        title: split and dataset, for messages.

    Raises:
        ScoresError: for a score that is not finite; names the item.
    """
    num_items = report.get_batch_size()
    given = set(report.keys())
    numbers = report["item_index"].tolist() if "item_index" in given else None
    readable = report["readable"] if "readable" in given else None
    for key in _SCORES:
        scores = report[key] if key in given else None
        if not isinstance(scores, Tensor) or not scores.is_floating_point() or not scores.dim():
            continue
        per_item = max(1, len(scores) // num_items)
        counted = None
        if readable is not None and len(readable) * per_item == len(scores):
            counted = readable.repeat_interleave(per_item)

        def name(row: int, per_item: int = per_item) -> str:
            place = row // per_item
            if numbers is None:
                return f"item {place} of a batch ({title})"
            return f"{_name_item(dataset, numbers[place])} ({title})"

        check_scores(scores, len(scores), name, counted)


def _name_item(dataset: Any, item: int) -> str:
    maker = getattr(dataset, "maker", None)
    return f"item {item}, {maker.describe(item)}" if maker is not None else f"item {item}"


def _join(parts: list[Any]) -> Any:
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    return [value for part in parts for value in part]


def merge_fields(parts: list[tuple[list[int], dict[str, Any]]]) -> dict[str, Any]:
    """Bring the fields of all processes together, in the order of the dataset's items.

    Args:
        parts: ``(items, fields)`` of each process. A field has as many rows per item as the others', or any
            number if rows do not divide by items (then the processes follow one another).
    """
    if len(parts) == 1:
        return parts[0][1]
    merged: dict[str, Any] = {}
    for name in sorted({name for _, fields in parts for name in fields}):
        held = [(items, fields[name]) for items, fields in parts if name in fields]
        merged[name] = _merge_tensors(held) if isinstance(held[0][1], Tensor) else merge_lists(held)
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


def merge_lists(held: list[tuple[list[int], list[Any]]]) -> list[Any]:
    """Bring one result per item into the order of the items.

    Where there are more or fewer, results that tell their ``item`` are ordered by it; others keep the
    processes' order.
    """
    if any(len(items) != len(values) for items, values in held):
        values = [value for _, values in held for value in values]
        tell_item = all(
            isinstance(value, dict) and isinstance(cast(dict[str, Any], value).get("item"), int)
            for value in values
        )
        return sorted(values, key=lambda value: value["item"]) if tell_item else values
    pairs = [pair for items, values in held for pair in zip(items, values, strict=True)]
    return [value for _, value in sorted(pairs, key=lambda pair: pair[0])]
