"""The training loop of the registered trainer, the same in both MMFs.

One *update* is one optimizer step over ``training.update_frequency`` batches, fewer at the end of an epoch. The loss of
an update is the mean over all items of its batches and processes, so accumulating, or adding processes, gives what one
larger batch gives. MMF builds datasets, model and optimizer; ``epoch_order`` says what is read; ``evaluation_loop`` validates.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import torch
from mmf.common.registry import registry
from torch import Tensor, nn

from clipbert_mmf.settings import read_setting
from clipbert_mmf.training.data_order import split_into_updates
from clipbert_mmf.training.distributed import (
    check_every_parameter_took_part,
    from_first,
    get_rank,
    get_world_size,
    gradient_sync,
    unwrap_model,
)
from clipbert_mmf.training.loaders import describe_health, tell_epoch
from clipbert_mmf.training.logging import format_numbers, format_seconds
from clipbert_mmf.training.seeding import seed_all
from clipbert_mmf.training.sharding import clip_gradients, count_state_bytes

logger = logging.getLogger(__name__)


class TrainingLoop:
    """What the trainers of both MMFs share in training.

    Expects of the trainer: ``config``, ``training_config``, ``device``, ``model``, ``optimizer``, ``scheduler``,
    ``precision``, ``scaler``, ``parallel_options``, ``checkpoint``, ``early_stopping``, ``metrics``, ``metrics_file``, ``seed``, and the
    methods ``prepare_batch``, ``make_report``, ``call_hook``, ``evaluate_split``.
    """

    current_epoch: int = 0
    current_iteration: int = 0
    num_updates: int = 0
    #: Batches of the current epoch that are done.
    epoch_position: int = 0
    #: Update after which validation ran last.
    evaluated_at: int = -1
    #: Whether this process has done an update, be it a resumed run's.
    _has_trained: bool = False

    # ---- training

    def run_training(self) -> None:
        """Train until the number of updates is reached, or early stopping ends it."""
        torch.autograd.set_detect_anomaly(bool(read_setting(self.training_config, "detect_anomaly", False)))
        parameters = sum(p.numel() for p in self.model.parameters())
        trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        logger.info(
            "training %.1f of %.1f M parameters for %d updates (%d per epoch) of %d items, %s on %d x %s",
            trained / 1e6,
            parameters / 1e6,
            self.max_updates,
            len(split_into_updates(self.order.num_batches, self.batches_per_update)),
            self.order.streams[0].global_batch_size * self.batches_per_update,
            self.precision.name,
            get_world_size(),
            self.device,
        )
        self.metrics_file.rewind(self.num_updates)
        self.model.train()
        self.stopwatch.restart()
        stop = False
        while self.num_updates < self.max_updates and not stop:
            if self.epoch_position in (0, self.order.num_batches):
                self.current_epoch += 1
                self.epoch_position = 0
            stop = self._run_epoch()
        if self._evaluates() and self.evaluated_at != self.num_updates:
            self._validate()
        elif not self._evaluates():
            self._save()

    def _run_epoch(self) -> bool:
        registry.register("current_epoch", self.current_epoch)
        # Tells the data order and the workers' seeds apart by epoch, and nothing else.
        seed_all(self.seed, "epoch", self.current_epoch, get_rank())
        for loader in self.train_loaders.values():
            tell_epoch(loader.dataset, self.current_epoch)
        plan = self.order.start_epoch(self.current_epoch, self.epoch_position)
        loaders = list(self.train_loaders.items())
        iterators: dict[int, Iterator] = {}
        for places in split_into_updates(len(plan), self.batches_per_update, self.epoch_position):
            batches = [plan[place] for place in places]
            for stream, _ in batches:
                if stream not in iterators:
                    iterators[stream] = iter(loaders[stream][1])
            self._run_update(
                [(loaders[stream], iterators[stream], stream, batch) for stream, batch in batches]
            )
            self.epoch_position += len(batches)
            if self._after_update() or self.num_updates >= self.max_updates:
                return self.num_updates < self.max_updates
        return False

    def _run_update(self, batches: list[tuple]) -> None:
        self.call_hook("on_update_start")
        seed_all(self.seed, "update", self.num_updates, get_rank())
        self.optimizer.zero_grad(set_to_none=True)
        counts = [self._count_items(stream, batch) for _, _, stream, batch in batches]
        total = sum(num_global for _, num_global in counts)
        seen: list[Tensor] = []
        for number, ((name, loader), iterator, _, _) in enumerate(batches):
            num_local, num_global = counts[number]
            with self.stopwatch.waiting():
                batch = next(iterator)
            self.current_iteration += 1
            self.call_hook("on_batch_start")
            with gradient_sync(
                self.model, last=number == len(batches) - 1, first_update=not self._has_trained
            ):
                report = self._forward(batch, loader.dataset, name)
                loss = self._total_loss(report)
                # Processes are averaged by DDP; this makes it a mean over items.
                self.scaler.scale(loss * (num_local * get_world_size() / total)).backward()
            losses = {key: value.detach().mean() for key, value in report.losses.items()}
            losses[f"{report.dataset_type}/total_loss"] = loss.detach()
            self.window.add(losses, num_local, num_global)
            seen.append(loss.detach())
            self.call_hook("on_batch_end", report=report, meter=self.meter)
        if not self._has_trained:
            check_every_parameter_took_part(self.model, self.parallel_options)
        self._refuse_nan(seen, report)
        self._step()
        self._has_trained = True
        self.last_report = report

    def _count_items(self, stream: int, batch: int) -> tuple[int, int]:
        sampler = self.order.streams[stream]
        return sampler.num_local(batch), sampler.num_global(batch)

    def _forward(self, batch, dataset, name: str):
        batch = self.prepare_batch(batch, dataset, name, "train")
        with self.precision.autocast():
            output = self.model(batch)
        return self.make_report(batch, output)

    def _total_loss(self, report) -> Tensor:
        if not report.get("losses"):
            raise ValueError(
                "the model gave no losses: list them under model_config.<model>.losses, and check that the dataset "
                "gives 'targets'"
            )
        return sum(value.mean() for value in report.losses.values())

    def _refuse_nan(self, losses: list[Tensor], report) -> None:
        if not read_setting(self.training_config, "exit_on_nan_losses", True):
            return
        if not torch.stack(losses).isfinite().all():
            values = {key: float(value.detach().mean()) for key, value in report.losses.items()}
            raise RuntimeError(
                f"loss is not a finite number after update {self.num_updates} (process {get_rank()}, epoch "
                f"{self.current_epoch}): {values}; training stops. Lower the learning rate, clip gradients "
                "(training.max_grad_l2_norm), or look with training.detect_anomaly=true"
            )

    def _step(self) -> None:
        self.last_lr = [group["lr"] for group in self.optimizer.param_groups]
        limit = read_setting(self.training_config, "max_grad_l2_norm", None)
        if read_setting(self.training_config, "clip_gradients", False) and limit is not None:
            self.scaler.unscale_(self.optimizer)
            self.last_grad_norm = clip_gradients(self.model, float(limit))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scheduler is not None:
            self.scheduler.step()
        self.num_updates += 1
        self.stopwatch.count_update()
        registry.register("num_updates", self.num_updates)
        registry.register("current_iteration", self.current_iteration)

    # ---- after an update

    def _is_due(self, key: str) -> bool:
        interval = read_setting(self.training_config, key) or 0
        return interval > 0 and self.num_updates % interval == 0

    def _evaluates(self) -> bool:
        return (self.training_config.evaluation_interval or 0) > 0

    def _after_update(self) -> bool:
        """Log, save and validate where it is time; return whether to stop."""
        should_log = self._is_due("log_interval") or self.num_updates == self.max_updates
        if should_log:
            self._log_training()
        self.call_hook("on_update_end", report=self.last_report, meter=self.meter, should_log=should_log)
        if self._is_due("evaluation_interval"):
            return self._validate()  # saves as well
        if self._is_due("checkpoint_interval"):
            self._save()
        return False

    def _save(self) -> None:
        with self.stopwatch.paused():
            self.window.fold(get_rank())
            self.checkpoint.save(self.num_updates, self.current_iteration)

    def _log_training(self) -> None:
        losses, speed = self.window.take(), self.stopwatch.take()
        left = (self.max_updates - self.num_updates) / max(1e-9, speed["updates_per_sec"])
        if self._evaluates():
            left += (
                (self.max_updates - self.num_updates)
                // self.training_config.evaluation_interval
                * (self.stopwatch.evaluation_sec)
            )
        record = {
            "split": "train",
            "update": self.num_updates,
            "epoch": self.current_epoch,
            "lr": self.last_lr[0],
            "losses": losses,
            **speed,
            "eta_sec": left,
        }
        if len(set(self.last_lr)) > 1:
            record["lr_of_groups"] = self.last_lr
        record["optimizer_state_mib"] = count_state_bytes(self.optimizer) / 2**20
        health = describe_health(loader.dataset for loader in self.train_loaders.values())
        record.update(health)
        if self.last_grad_norm is not None:
            record["grad_norm"] = float(self.last_grad_norm)
        if self.device.type == "cuda":
            record["max_memory_mib"] = torch.cuda.max_memory_allocated(self.device) // 2**20
        if read_setting(self.training_config, "evaluate_metrics", False):
            measured = self.metrics(self.last_report, self.last_report)
            record["metrics"] = {key: float(value.mean()) for key, value in measured.items()}
        self.metrics_file.write(record)
        self.note_scalars(
            {**losses, "lr": self.last_lr[0], "data_wait": speed["data_wait"]}, self.num_updates
        )
        for key, value in losses.items():
            self.meter.meters[key].update(value, 1)
        logger.info(
            "update %d/%d, epoch %d, %s, lr %.3g, %.2f updates/s, data_wait %.2f%s, %s left",
            self.num_updates,
            self.max_updates,
            self.current_epoch,
            format_numbers(losses),
            self.last_lr[0],
            speed["updates_per_sec"],
            speed["data_wait"],
            "".join(f", {key} {value}" for key, value in health.items() if value),
            format_seconds(left),
        )

    def _validate(self) -> bool:
        """Run validation, save, and return whether early stopping ends training."""
        with self.stopwatch.paused():
            self.call_hook("on_validation_start")
            self.evaluated_at = self.num_updates
            evaluation = self.evaluate_split("val")
            self.stopwatch.evaluation_sec = evaluation.seconds
            self.window.fold(get_rank())
            stop = from_first(self.early_stopping(self.num_updates, self.current_iteration, evaluation.meter))
            self.log_evaluation("val", evaluation)
            info = self.early_stopping.get_info()
            logger.info("best so far: %s", ", ".join(f"{key} {value}" for key, value in info.items()))
            self.call_hook("on_validation_end", report=evaluation.report, meter=evaluation.meter)
            gc.collect()
            if stop:
                logger.info("early stopping: no better value for %d updates", self.early_stopping.patience)
        return stop

    def finish_training(self) -> None:
        """Go back to the best state and write the weights alone."""
        self.checkpoint.restore()
        self.checkpoint.finalize()

    @property
    def bare_model(self) -> nn.Module:
        """The model without its wrapper: evaluation needs no other process."""
        return unwrap_model(self.model)
