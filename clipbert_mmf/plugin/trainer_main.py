"""Registers the trainer with MMF's main (1.0.0rc12).

Its ``MMFTrainer`` builds and has callbacks, our loops train.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The environment that pyright checks has one of the two MMFs, and this file is for the other.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmf.common.meter import Meter
from mmf.common.registry import registry
from mmf.common.sample import convert_batch_to_sample_list, to_device

# MMF's own is registered first, ours takes its place.
from mmf.trainers import lightning_trainer  # noqa: F401
from mmf.trainers.mmf_trainer import MMFTrainer
from omegaconf import DictConfig, open_dict
from torch.utils.data import DataLoader

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin import schedules  # as a module: importing it first imports this one on the way
from clipbert_mmf.plugin.own_trainers import (
    check_own_trainer,
    follow_present_schedule,
    follow_present_settings,
)
from clipbert_mmf.plugin.trainer_host import MmfHost
from clipbert_mmf.training.dataset_mixing import KINDS, Mixing
from clipbert_mmf.training.failure_reports import report_failures

_COUNTERS = ("num_updates", "current_iteration", "current_epoch")


class MainHost(MmfHost):
    """Implements ``training.host.Host`` with MMF's main."""

    def list_loaders(self, split: str) -> Mapping[str, DataLoader[Any]]:
        """Return MMF's loaders of a split by dataset."""
        return getattr(self.trainer, f"{split}_loader").loaders

    def prepare_batch(self, batch: Any, dataset: Any, name: str, split: str) -> Any:
        """Move a batch to the device, as MMF does it."""
        if hasattr(dataset, "prepare_batch"):
            batch = dataset.prepare_batch(batch)
        batch = convert_batch_to_sample_list(batch)
        batch.dataset_name, batch.dataset_type = name, split
        return to_device(batch, self.run.device)

    def publish_counters(self) -> None:
        """Give the trainer the counters that callbacks read from it."""
        for name in _COUNTERS:
            setattr(self.trainer, name, getattr(self.run, name))

    def call_hook(
        self,
        name: str,
        report: Any = None,
        numbers: Mapping[str, float] | None = None,
        **arguments: Any,
    ) -> None:
        """Call the user's callbacks, with MMF's meter of the numbers."""
        self.publish_counters()
        if report is not None:
            meter = self.meter
            if numbers is not None:
                meter = Meter()
                _update_meter(meter, numbers, report.get_batch_size())
            arguments.update(report=report, meter=meter)
        getattr(self.trainer, name)(**arguments)

    def log_scalars(self, scalars: Mapping[str, float], update: int, losses: Mapping[str, float]) -> None:
        """Pass numbers on to TensorBoard and Weights & Biases."""
        _update_meter(self.meter, losses, 1)
        logistics = self.trainer.logistics_callback
        if logistics.tb_writer is not None:
            logistics.tb_writer.add_scalars(dict(scalars), update)
        if self.wandb_logger is not None:
            self.wandb_logger.log_metrics({**scalars, "trainer/global_step": update})


def _update_meter(meter: Meter, numbers: Mapping[str, float], num_items: int) -> None:
    for key, value in numbers.items():
        meter.meters[key].update(value, num_items)


@registry.register_trainer("clipbert")
class ClipBertTrainer(MMFTrainer):
    """Runs ``training.trainer: clipbert``."""

    def __init__(self, config: DictConfig) -> None:
        super().__init__(config)
        self.host = MainHost(self)

    def load(self) -> None:
        """As MMF; a process whose data or model cannot be built tells the others."""
        with report_failures(lambda: "the start"):
            super().load()

    def configure_device(self) -> None:
        """Choose device and seed."""
        self.host.start_run()

    def configure_seed(self) -> None:
        """Do nothing: the seed is chosen with the device."""

    def load_datasets(self) -> None:
        """Let MMF build datasets and loaders, then put them in our order."""
        section = self.config.multitasking
        with open_dict(self.config):
            if section.type in KINDS:  # MMF's own strategies refuse epochs, and keys that another type reads
                self.config.multitasking = {"enabled": True, "type": "size_proportional", "params": {}}
            try:
                super().load_datasets()
            finally:
                self.config.multitasking = section
        strategy = self.train_loader.iteration_strategy
        mixing = Mixing(strategy, strategy.should_exhaust_all_iterators, type(strategy).__name__)
        self.host.order_data(self.train_loader.loaders, mixing)

    def load_model(self) -> None:
        """As MMF, from weights that depend on the seed alone."""
        self.host.seed_model()
        super().load_model()

    def load_optimizer(self) -> None:
        """As MMF, then with a fused step, and split over processes."""
        super().load_optimizer()
        self.host.prepare_optimizer()

    def load_fp16_scaler(self) -> None:
        """Show callbacks the run's scaler."""
        self.scaler = self.host.run.scaler

    def configure_callbacks(self) -> None:
        """Keep the user's callbacks; schedule, checkpoint, early stopping and messages are the loop's own."""
        schedules.announce_updates(self.host.run.data.max_updates)
        super().configure_callbacks()
        schedules.announce_updates(None)  # another run in this process has a length of its own
        own = (self.lr_scheduler_callback, self.checkpoint_callback, self.logistics_callback)
        self.callbacks = [callback for callback in self.callbacks if callback not in own]
        self.host.follow_schedule(self.lr_scheduler_callback._scheduler)
        self.host.wandb_logger = self.logistics_callback.wandb_logger
        self.checkpoint_callback._checkpoint = self.host.make_checkpoint()
        self.early_stop_callback.early_stopping = self.host.run.early_stopping

    def on_init_start(self, **kwargs: Any) -> None:
        """Load what ``checkpoint.*`` names, as MMF's callback does it."""
        self.host.checkpoint.load_state_dict()
        self.host.publish_counters()
        super().on_init_start(**kwargs)

    def parallelize_model(self) -> None:
        """Wrap the model where there are several processes."""
        self.host.parallelize_model()

    def train(self) -> None:
        """Train if ``run_type`` says so, then evaluate or predict."""
        with report_failures(self.host.run.describe_place):
            self.host.train()
            self.logistics_callback.teardown()
            self.finalize()
            self.host.close()

    def inference(self) -> None:
        """Evaluate, or predict, the splits that ``run_type`` names."""
        with report_failures(self.host.run.describe_place):
            self.host.evaluate()
            self.host.close()


@registry.register_trainer("mmf")
class OwnTrainer(MMFTrainer):
    """Runs ``training.trainer: mmf``, MMF's own, after a check of what it cannot do."""

    def load(self) -> None:
        """As MMF, where it can do the run."""
        check_own_trainer(self.config)
        super().load()

    def configure_callbacks(self) -> None:
        """As MMF; our schedules learn how long the run is."""
        schedules.announce_updates(int(self._calculate_max_updates()) if "train" in self.run_type else None)
        super().configure_callbacks()
        schedules.announce_updates(None)  # another run in this process has a length of its own

    def on_init_start(self, **kwargs: Any) -> None:
        """As MMF, which loads a checkpoint here; a resumed run follows its present settings."""
        follow_present_settings(self.optimizer)
        with follow_present_schedule(self.lr_scheduler_callback._scheduler):
            super().on_init_start(**kwargs)

    def finalize(self) -> None:
        """As MMF, and end the page on Weights & Biases."""
        super().finalize()
        if self.logistics_callback.wandb_logger is not None:
            self.logistics_callback.wandb_logger.close()


@registry.register_trainer("lightning")
class LightningTrainer:
    """Refuses ``training.trainer: lightning``.

    Raises:
        ConfigurationError: always.
    """

    def __init__(self, config: DictConfig) -> None:
        raise ConfigurationError(
            "training.trainer=lightning needs PyTorch Lightning 1.6, which does not run on current PyTorch; write "
            "training.trainer=clipbert, or training.trainer=mmf for MMF's own"
        )
