"""Trains: the same loop in both MMFs.

One *update* is one optimizer step over ``training.update_frequency`` batches, fewer at the end of an epoch.
The loss of an update is the mean over all items of its batches and processes, so accumulating, or adding
processes, gives what one larger batch gives.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import BatchNorm2d
from torch.utils.data import DataLoader

from clipbert_mmf.modules.batch_norm import SyncedBatchNorm
from clipbert_mmf.scoring.gathering import sharing_batch
from clipbert_mmf.training.checkpoints import Checkpointer
from clipbert_mmf.training.data_order import split_into_updates
from clipbert_mmf.training.distributed import (
    broadcast_from_rank_0,
    check_every_parameter_took_part,
    get_rank,
    get_world_size,
    gradient_sync,
)
from clipbert_mmf.training.evaluation import Evaluator
from clipbert_mmf.training.first_stage import fit_first_stage
from clipbert_mmf.training.host import Host, Report
from clipbert_mmf.training.interrupts import RunInterrupted
from clipbert_mmf.training.loaders import describe_health, kill_workers, tell_epoch
from clipbert_mmf.training.logging import format_numbers, format_seconds
from clipbert_mmf.training.run import Run
from clipbert_mmf.training.seeding import seed_all
from clipbert_mmf.training.sharding import clip_gradients, count_state_bytes, find_clipped

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Batch:
    """Holds the source of one batch of an update.

    Attributes:
        name: name of the dataset.
        loader: loader of the dataset.
        iterator: the loader's, in this epoch.
        num_local: items that count on this process.
        num_global: items over all processes.
    """

    name: str
    loader: DataLoader[Any]
    iterator: Iterator[Any]
    num_local: int
    num_global: int


@dataclass(frozen=True)
class _Update:
    """Holds what one optimizer step leaves for the log.

    Attributes:
        report: fields of the last batch.
        learning_rates: one per parameter group, as the step used them.
        gradient_norm: before clipping; None where gradients are not clipped.
    """

    report: Report
    learning_rates: list[float]
    gradient_norm: Tensor | None


class Loop:
    """Trains the model of a run, validates and saves when due, and ends with the best state.

    Args:
        run: the state that is trained.
        host: moves batches, calls the user's callbacks and passes numbers on.
        evaluator: validates.
        checkpointer: saves.
    """

    def __init__(self, run: Run, host: Host, evaluator: Evaluator, checkpointer: Checkpointer) -> None:
        self.run, self.host, self.evaluator, self.checkpointer = run, host, evaluator, checkpointer
        self.options = run.options.loop
        #: Whether this process has done an update; a resumed run starts with False.
        self._has_trained = False

    def train(self) -> None:
        """Train until the number of updates is reached or early stopping ends it.

        Then restore the best state.
        """
        run = self.run
        self.host.call_hook("on_train_start")
        torch.autograd.set_detect_anomaly(self.options.detect_anomaly)
        self._log_start()
        self.checkpointer.begin()
        is_recorded = broadcast_from_rank_0(run.metrics_file.has("val", run.num_updates))
        run.metrics_file.rewind(run.num_updates)
        run.model.train()
        run.stopwatch.restart()
        try:
            if run.options.first_stage.epochs and run.num_updates == 0 and run.evaluated_at != 0:
                with run.stopwatch.paused():
                    fit_first_stage(run, self.host)
                if self._evaluates and run.data.max_updates:
                    self._validate()
            self._run_epochs(is_recorded)
        except RunInterrupted as interruption:
            if interruption.is_whole:
                self._save_interrupted()
            raise
        self.checkpointer.restore_best()
        self.checkpointer.write_weights()
        self.host.call_hook("on_train_end")

    def _run_epochs(self, is_recorded: bool) -> None:
        run = self.run
        stop = run.early_stopping.has_waited(run.evaluated_at)
        if self._lacks_validation(is_recorded):
            stop = self._validate()
        while run.num_updates < run.data.max_updates and not stop:
            if run.epoch_position in (0, run.data.order.num_batches):
                run.current_epoch += 1
                run.epoch_position = 0
            stop = self._run_epoch()
        if not self._evaluates:
            self._save()
        elif run.evaluated_at != run.num_updates:
            self._validate()

    def _save_interrupted(self) -> None:
        """Save the state after the last update, unless it is saved; before the first there is nothing to save."""
        run = self.run
        if run.epoch_position == 0 and run.num_updates:  # the next epoch was begun, and nothing of it read
            run.current_epoch, run.epoch_position = run.current_epoch - 1, run.data.order.num_batches
        if run.num_updates and self.checkpointer.saved_update != run.num_updates:
            self._save()

    @cached_property
    def _evaluates(self) -> bool:
        if (self.options.evaluation_interval or 0) <= 0:
            return False
        # A run that only trains needs no validation split.
        datasets: list[Any] = [loader.dataset for loader in self.host.list_loaders("val").values()]
        unusable = [str(dataset.unusable) for dataset in datasets if hasattr(dataset, "unusable")]
        if unusable:
            logger.warning("training goes on without validation: %s", "; ".join(unusable))
        return not unusable

    def _lacks_validation(self, is_recorded: bool) -> bool:
        """Tell whether a resumed run stopped between an update and the record of its validation."""
        run = self.run
        if not (run.num_updates and self._evaluates and self._is_due(self.options.evaluation_interval)):
            return False
        return run.evaluated_at != run.num_updates or not is_recorded

    def _is_due(self, interval: int | None) -> bool:
        return bool(interval and interval > 0 and self.run.num_updates % interval == 0)

    # ---- one epoch, one update

    def _run_epoch(self) -> bool:
        """Train to the end of an epoch or of the run; return whether early stopping ended it."""
        run, data = self.run, self.run.data
        self.host.set_globals(current_epoch=run.current_epoch)
        # A state of its own for each epoch: workers draw their seeds from it.
        seed_all(run.seed, "epoch", run.current_epoch, get_rank())
        for loader in data.loaders.values():
            tell_epoch(loader.dataset, run.current_epoch)
        plan = data.order.start_epoch(run.current_epoch, run.epoch_position)
        sources = list(data.loaders.items())
        iterators: dict[int, Iterator[Any]] = {}
        try:
            return self._run_updates(plan, sources, iterators)
        except RunInterrupted:
            for iterator in iterators.values():
                kill_workers(iterator)
            raise

    def _run_updates(
        self,
        plan: Sequence[tuple[int, int]],
        sources: list[tuple[str, DataLoader[Any]]],
        iterators: dict[int, Iterator[Any]],
    ) -> bool:
        run, data = self.run, self.run.data
        for places in split_into_updates(len(plan), data.batches_per_update, run.epoch_position):
            batches: list[_Batch] = []
            for stream, number in (plan[place] for place in places):
                name, loader = sources[stream]
                if stream not in iterators:
                    iterators[stream] = iter(loader)
                sampler = data.order.streams[stream]
                counts = sampler.num_local(number), sampler.num_global(number)
                batches.append(_Batch(name, loader, iterators[stream], *counts))
            update = self._run_update(batches)
            run.epoch_position += len(batches)
            stop = self._after_update(update)
            if run.interrupts.should_stop(run.device):
                raise RunInterrupted(is_whole=True)
            if stop:
                return run.num_updates < data.max_updates
            if run.num_updates >= data.max_updates:
                return False
        return False

    def _run_update(self, batches: list[_Batch]) -> _Update:
        run = self.run
        self.host.call_hook("on_update_start")
        seed_all(run.seed, "update", run.num_updates, get_rank())
        run.optimizer.zero_grad(set_to_none=True)
        total = sum(batch.num_global for batch in batches)
        losses: list[Tensor] = []
        report: Report | None = None
        for batch in batches:
            is_last = batch is batches[-1]
            with run.stopwatch.waiting(), run.interrupts.waiting(is_whole=batch is batches[0]):
                read = next(batch.iterator)
            run.current_iteration += 1
            self.host.call_hook("on_batch_start")
            with (
                gradient_sync(run.model, last=is_last, first_update=not self._has_trained),
                sharing_batch(batch.num_local, batch.num_global),
            ):
                report = self._forward(read, batch)
                loss = _sum_losses(report)
                # DDP averages over processes; the factor makes it a mean over items.
                run.scaler.scale(loss * (batch.num_local * get_world_size() / total)).backward()
            self._count_losses(report, loss, batch)
            losses.append(loss.detach())
            self.host.call_hook("on_batch_end", report=report)
        assert report is not None
        if not self._has_trained:
            check_every_parameter_took_part(run.model, run.options.parallel)
        self._refuse_nan(losses, report)
        update = self._step(report)
        self._has_trained = True
        return update

    def _forward(self, read: Any, batch: _Batch) -> Report:
        prepared = self.host.prepare_batch(read, batch.loader.dataset, batch.name, "train")
        with self.run.precision.autocast():
            output = self.run.model(prepared)
        return self.host.make_report(prepared, output)

    def _count_losses(self, report: Report, loss: Tensor, batch: _Batch) -> None:
        losses = {key: value.detach().mean() for key, value in report["losses"].items()}
        losses["train/total_loss"] = loss.detach()
        self.run.window.add(losses, batch.num_local, batch.num_global)

    def _refuse_nan(self, losses: list[Tensor], report: Report) -> None:
        if not self.options.exit_on_nan_losses or torch.stack(losses).isfinite().all():
            return
        values = {key: float(value.detach().mean()) for key, value in report["losses"].items()}
        raise RuntimeError(
            f"loss is not a finite number after update {self.run.num_updates} (process {get_rank()}, epoch "
            f"{self.run.current_epoch}): {values}; training stops. Go on from the last checkpoint "
            "(checkpoint.resume=true) with a lower optimizer.params.lr or training.max_grad_l2_norm, or look "
            "with training.detect_anomaly=true"
        )

    def _step(self, report: Report) -> _Update:
        run = self.run
        rates: list[float] = [group["lr"] for group in run.optimizer.param_groups]
        norm = None
        if self.options.gradient_limit is not None:
            run.scaler.unscale_(run.optimizer)
            clipped = find_clipped(run.model, self.options.clip_norm_mode)
            norm = clip_gradients(clipped, self.options.gradient_limit)
        run.scaler.step(run.optimizer)
        run.scaler.update()
        if run.scheduler is not None:
            run.scheduler.step()
        run.num_updates += 1
        run.stopwatch.count_update()
        self.host.set_globals(num_updates=run.num_updates, current_iteration=run.current_iteration)
        return _Update(report, rates, norm)

    # ---- after an update

    def _after_update(self, update: _Update) -> bool:
        """Log, save and validate where it is due; return whether to stop."""
        should_log = (
            self._is_due(self.options.log_interval) or self.run.num_updates == self.run.data.max_updates
        )
        if should_log:
            self._log(update)
        self.host.call_hook("on_update_end", report=update.report, should_log=should_log)
        if self._evaluates and self._is_due(self.options.evaluation_interval):
            return self._validate()  # saves as well
        if self._is_due(self.options.checkpoint_interval):
            self._save()
        return False

    def _save(self) -> None:
        with self.run.stopwatch.paused():
            self.run.window.fold(get_rank())
            self.checkpointer.save()

    def _validate(self) -> bool:
        """Validate, save, and return whether early stopping ends training."""
        run, stopping = self.run, self.run.early_stopping
        with run.stopwatch.paused():
            self.host.call_hook("on_validation_start")
            evaluation = self.evaluator.evaluate("val")
            run.evaluated_at = run.num_updates
            run.stopwatch.evaluation_sec = evaluation.seconds
            run.window.fold(get_rank())
            is_best = stopping.update(evaluation.numbers, run.num_updates, run.current_iteration)
            self.checkpointer.save(is_best=is_best, publish=lambda: self.evaluator.log("val", evaluation))
            stop = bool(broadcast_from_rank_0(stopping.should_stop))
            logger.info(
                "best so far: %s", ", ".join(f"{key} {value}" for key, value in stopping.get_info().items())
            )
            self.host.call_hook("on_validation_end", report=evaluation.report, numbers=evaluation.numbers)
            gc.collect()
            if stop:
                logger.info("early stopping: no better value for %d updates", stopping.options.patience)
        return stop

    # ---- messages

    def _log_start(self) -> None:
        run = self.run
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in run.model.parameters()]
        logger.info(
            "training %.1f of %.1f M parameters for %d updates (%d per epoch) of %d items, %s on %d x %s",
            sum(size for size, trained in sizes if trained) / 1e6,
            sum(size for size, _ in sizes) / 1e6,
            run.data.max_updates,
            run.data.updates_per_epoch,
            run.data.items_per_update,
            run.precision.name,
            get_world_size(),
            run.device,
        )
        self._tell_batch_statistics()

    def _tell_batch_statistics(self) -> None:
        """Say which items batch norms have their statistics from, where it is not all items of an update."""
        norms = [module for module in self.run.model.modules() if isinstance(module, BatchNorm2d)]
        norms = [norm for norm in norms if any(value.requires_grad for value in norm.parameters())]
        own = [norm for norm in norms if not isinstance(norm, SyncedBatchNorm)]
        if own and get_world_size() > 1:
            logger.warning(
                "%d batch norms have the statistics of each process's own items: %d processes do not train as one "
                "does; a norm that looks at single items does (model_config.clipbert.backbone.norm=group)",
                len(own),
                get_world_size(),
            )
        elif norms and get_world_size() > 1:
            logger.info("batch norms have the statistics of the items of all %d processes", get_world_size())
        if norms and self.options.update_frequency > 1:
            logger.warning(
                "batch norms have the statistics of each of the %d batches of an update, so accumulating does not "
                "give what one larger batch gives; model_config.clipbert.backbone.norm=group does",
                self.options.update_frequency,
            )

    def _log(self, update: _Update) -> None:
        """Write one line of the log and one record of ``metrics.jsonl``; every process must call it."""
        run = self.run
        losses, speed = run.window.take(), run.stopwatch.take()
        left_sec = self._estimate_left_sec(speed["updates_per_sec"])
        health = describe_health(loader.dataset for loader in run.data.loaders.values())
        rate = update.learning_rates[0]
        record: dict[str, Any] = {
            "split": "train",
            "update": run.num_updates,
            "epoch": run.current_epoch,
            "lr": rate,
            "losses": losses,
            **speed,
            "eta_sec": left_sec,
            "optimizer_state_mib": count_state_bytes(run.optimizer) / 2**20,
            **health,
            **self._measure(update),
        }
        run.metrics_file.write(record)
        scalars = {**losses, "lr": rate, "data_wait": speed["data_wait"]}
        self.host.log_scalars(scalars, run.num_updates, losses)
        logger.info(
            "update %d/%d, epoch %d, %s, lr %.3g, %.2f updates/s, data_wait %.2f%s, %s left",
            run.num_updates,
            run.data.max_updates,
            run.current_epoch,
            format_numbers(losses),
            rate,
            speed["updates_per_sec"],
            speed["data_wait"],
            "".join(f", {key} {value}" for key, value in health.items() if value),
            format_seconds(left_sec),
        )

    def _estimate_left_sec(self, updates_per_sec: float) -> float:
        left = self.run.data.max_updates - self.run.num_updates
        left_sec = left / max(1e-9, updates_per_sec)
        if self.options.evaluation_interval and self._evaluates:
            left_sec += left // self.options.evaluation_interval * self.run.stopwatch.evaluation_sec
        return left_sec

    def _measure(self, update: _Update) -> dict[str, Any]:
        """Return the entries of a record that only some runs have."""
        run = self.run
        entries: dict[str, Any] = {}
        if len(set(update.learning_rates)) > 1:
            entries["lr_of_groups"] = update.learning_rates
        if update.gradient_norm is not None:
            entries["grad_norm"] = float(update.gradient_norm)
        if run.device.type == "cuda":
            entries["max_memory_mib"] = torch.cuda.max_memory_allocated(run.device) // 2**20
        if self.options.evaluate_metrics:
            measured = self.host.compute_metrics(update.report)
            entries["metrics"] = {key: float(value.mean()) for key, value in measured.items()}
        return entries


def _sum_losses(report: Report) -> Tensor:
    losses = report.get("losses")
    if not losses:
        raise ValueError(
            "the model gave no losses: list them under model_config.<model>.losses, and check that the "
            "dataset "
            "gives 'targets'"
        )
    first, *others = (value.mean() for value in losses.values())
    for value in others:
        first = first + value
    return first
