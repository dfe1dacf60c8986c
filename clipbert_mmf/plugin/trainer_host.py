"""Connects the loops of ``training`` with MMF.

Builds a run from MMF's objects, and answers what the loops ask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmf.common.meter import Meter
from mmf.common.registry import registry
from mmf.common.report import Report
from mmf.utils.configuration import get_mmf_env
from torch import Tensor
from torch.utils.data import DataLoader

from clipbert_mmf.models.network import ClipBertNetwork, DatasetNetwork
from clipbert_mmf.plugin.log_files import name_log_failures
from clipbert_mmf.plugin.run_folder import find_run_folder
from clipbert_mmf.plugin.trainer_checkpoint import RunCheckpoint
from clipbert_mmf.plugin.trainer_options import parse_run_options
from clipbert_mmf.scoring.outcomes import Outcomes
from clipbert_mmf.training.checkpoints import find_stored_seed
from clipbert_mmf.training.dataset_mixing import Mixing
from clipbert_mmf.training.distributed import get_rank, get_world_size, unwrap_model, wrap_model
from clipbert_mmf.training.evaluation import Evaluator
from clipbert_mmf.training.interrupts import RunInterrupted
from clipbert_mmf.training.loop import Loop
from clipbert_mmf.training.resuming import refuse_metric_schedule
from clipbert_mmf.training.run import Run, order_data, prepare_optimizer, start_run
from clipbert_mmf.training.run_lock import release_lock
from clipbert_mmf.training.seeding import seed_all
from clipbert_mmf.writing import replacing


def _write_predictions(records: Sequence[Any], path: Path) -> None:
    """Write a file of predictions, which appears when it is complete."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        json.dump(records, file)


class MmfHost:
    """Holds the run of one of MMF's trainers.

    What differs between the two MMFs is in ``MainHost`` and ``ReleaseHost``.

    Args:
        trainer: MMF's; its configuration is parsed here.

    Raises:
        ConfigurationError: for a key or a value that cannot be used.
    """

    run: Run
    checkpoint: RunCheckpoint
    wandb_logger: Any = None

    def __init__(self, trainer: Any) -> None:
        name_log_failures()
        self.trainer = trainer
        self.options = parse_run_options(trainer.config)
        self.meter = Meter()

    # ---- building, in the order of MMF

    def start_run(self) -> None:
        """Choose device and seed, before anything is built, and tell MMF."""
        trainer, config = self.trainer, self.trainer.config
        folder = find_run_folder(config)
        local_rank = int(config["device_id"] or 0) if "device_id" in config else 0
        self.run = start_run(
            self.options,
            Path(get_mmf_env(key="save_dir")),
            local_rank,
            find_stored_seed(self.options.checkpoint, folder),
        )
        trainer.training_config = config.training
        trainer.training_config.seed = self.run.seed
        trainer.local_rank, trainer.device = local_rank, self.run.device
        trainer.distributed = get_world_size() > 1
        # An earlier run in this process had a wrapper, perhaps.
        self.set_globals(data_parallel=False, distributed=False)
        self.set_globals(current_device=self.run.device, global_device=get_rank(), seed=self.run.seed)

    def order_data(self, loaders: Mapping[str, DataLoader[Any]], fallback: Mixing | None) -> None:
        """Put MMF's training loaders in our order; see ``training.run.order_data``."""
        order_data(self.run, loaders, fallback)
        self.trainer.max_updates = self.run.data.max_updates

    def seed_model(self) -> None:
        """Make the model's first weights depend on the seed alone, not on what the data drew before."""
        seed_all(self.run.seed, "model")

    def prepare_optimizer(self) -> None:
        """Take over MMF's model and optimizer, fuse the step, and shard both as configured."""
        self.run.model, self.run.optimizer = self.trainer.model, self.trainer.optimizer
        prepare_optimizer(self.run)
        self.trainer.optimizer = self.run.optimizer

    def follow_schedule(self, scheduler: Any) -> None:
        """Set the learning rate by the schedule that MMF built; None for a constant one.

        Raises:
            ConfigurationError: for a schedule that follows a metric.
        """
        if scheduler is not None:
            refuse_metric_schedule(scheduler, str(self.trainer.config.scheduler.type))
        self.run.scheduler = scheduler

    def make_checkpoint(self) -> RunCheckpoint:
        """Make MMF's checkpoint around the run's."""
        self.checkpoint = RunCheckpoint(self.trainer, self.run, self)
        return self.checkpoint

    def parallelize_model(self) -> None:
        """Wrap the model where there are several processes; several GPUs in one process are not used."""
        model = wrap_model(self.trainer.model, self.options.parallel)
        self.run.model = self.trainer.model = model
        # MMF concludes from it that there is a wrapper.
        self.set_globals(data_parallel=False, distributed=unwrap_model(model) is not model)

    # ---- running

    def train(self) -> None:
        """Train if ``run_type`` says so, then evaluate or predict.

        Raises:
            SystemExit: after a signal, with the run saved; a run that only evaluates has nothing to save.
        """
        if not self.options.trains:
            self.evaluate()
            return
        evaluator = Evaluator(self.run, self)
        self.checkpoint.write_config()
        with self.run.interrupts.installed():
            try:
                Loop(self.run, self, evaluator, self.checkpoint.checkpointer).train()
                evaluator.run_final()
            except RunInterrupted as interruption:
                self.run.interrupts.announce(self.checkpoint.checkpointer.describe_newest())
                with suppress(RuntimeError):  # torchrun's agent may have ended first
                    if interruption.is_whole:
                        self.close()
                release_lock(find_run_folder(self.trainer.config))
                self.run.interrupts.exit()

    def evaluate(self) -> None:
        """Evaluate, or predict, the splits that ``run_type`` names."""
        self.checkpoint.write_config()
        Evaluator(self.run, self).run_final()

    def close(self) -> None:
        """End the page on Weights & Biases, and leave the other processes; nothing may hold a wrapped model then."""
        if self.wandb_logger is not None:
            self.wandb_logger.close()
        self.trainer.model = self.run.bare_model
        self.run.close()
        release_lock(find_run_folder(self.trainer.config))

    # ---- what the loops ask for (``training.host.Host``)

    def list_loaders(self, split: str) -> Mapping[str, DataLoader[Any]]:
        """Return MMF's loaders of a split by dataset."""
        raise NotImplementedError

    def prepare_batch(self, batch: Any, dataset: Any, name: str, split: str) -> Any:
        """Move a batch to the device, as this MMF does it."""
        raise NotImplementedError

    def make_report(self, batch: Any, output: Any) -> Report:
        """Merge batch and output."""
        return Report(batch, output)

    def make_split_report(self, name: str, split: str, fields: Mapping[str, Any], num_items: int) -> Report:
        """Make a report without a batch."""
        report = Report([("dataset_name", name), ("dataset_type", split), *fields.items()])
        report.batch_size = num_items
        return report

    def list_metric_fields(self) -> set[str]:
        """Return what the configured metrics require."""
        return set(self.trainer.metrics.required_params)

    def compute_metrics(self, report: Any) -> dict[str, Tensor]:
        """Compute the configured metrics."""
        return self.trainer.metrics(report, report)

    def trace_metrics(self, report: Any) -> dict[str, Outcomes]:
        """Return the outcomes of the metrics that have a method ``trace``, such as ours and a user's."""
        found: dict[str, Outcomes] = {}
        for key, metric in self.trainer.metrics.metrics.items():
            prefix = f"{report.dataset_type}/{report.dataset_name}/{key}"
            applies = any(name == prefix or name.startswith(f"{prefix}/") for name in report.metrics)
            if applies and hasattr(metric, "trace"):
                found.update(
                    {f"{prefix}/{name}".rstrip("/"): rows for name, rows in metric.trace(report).items()}
                )
        return found

    def compute_losses(self, report: Any) -> dict[str, Tensor]:
        """Compute the losses that MMF gave the model."""
        model: Any = self.run.bare_model
        return model.losses(report, report)

    def find_network(self, name: str) -> DatasetNetwork | None:
        """Return the network of our model for a dataset."""
        model: Any = self.run.bare_model
        network = getattr(model, "network", None)
        return network.select(name) if isinstance(network, ClipBertNetwork) else None

    def write_predictions(self, split: str, predict: Callable[[DataLoader[Any]], Sequence[Any]]) -> None:
        """Write predictions through MMF's reporter, which writes a dataset's file when the next one begins."""
        reporter = self.trainer.dataset_loader.get_test_reporter(split)
        reporter.json_dump = lambda place: _write_predictions(reporter.report, Path(place))
        while reporter.next_dataset():
            predictions = predict(reporter.get_dataloader())
            if get_rank() == 0:
                reporter.report = predictions
                if hasattr(reporter, "postprocess_dataset_report"):
                    reporter.postprocess_dataset_report()

    def describe_checkpoint(self) -> dict[str, Any]:
        """Return MMF's configuration and the state of its code."""
        return self.checkpoint.describe()

    def set_globals(self, **values: Any) -> None:
        """Put values into MMF's registry."""
        for name, value in values.items():
            registry.register(name, value)

    def call_hook(
        self,
        name: str,
        report: Any = None,
        numbers: Mapping[str, float] | None = None,
        **arguments: Any,
    ) -> None:
        """Call nothing; only MMF's main has callbacks."""

    def log_scalars(self, scalars: Mapping[str, float], update: int, losses: Mapping[str, float]) -> None:
        """Pass numbers on to TensorBoard."""
        raise NotImplementedError

    def log_checkpoint(self, file: Path) -> None:
        """Pass a checkpoint on to Weights & Biases, where ``training.wandb.log_checkpoint`` says so."""
        if self.options.wandb.log_checkpoint:
            self.wandb_logger.log_model_checkpoint(str(file))
