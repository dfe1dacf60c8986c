"""Registers the trainer with MMF's release (1.0.0rc10): its ``BaseTrainer`` builds, our loops train."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from mmf.common.registry import registry
from mmf.trainers.base_trainer import BaseTrainer
from mmf.utils.build import build_scheduler
from mmf.utils.configuration import get_mmf_env
from mmf.utils.logger import TensorboardLogger
from torch.utils.data import DataLoader

from clipbert_mmf.configuration import to_plain
from clipbert_mmf.plugin import schedules  # as a module: importing it first imports this one on the way
from clipbert_mmf.plugin.own_trainers import check_own_trainer, follow_present_settings
from clipbert_mmf.plugin.trainer_host import MmfHost
from clipbert_mmf.plugin.wandb_logger import WandbLogger
from clipbert_mmf.training.dataset_mixing import Mixing
from clipbert_mmf.training.distributed import get_rank
from clipbert_mmf.training.failure_reports import report_failures


class ReleaseHost(MmfHost):
    """Implements ``training.host.Host`` with MMF's release."""

    def list_loaders(self, split: str) -> Mapping[str, DataLoader[Any]]:
        """Return MMF's loaders of a split by dataset."""
        loaders = getattr(self.trainer, f"{split}_loader")
        names = [dataset.dataset_name for dataset in loaders.datasets]
        return dict(zip(names, loaders.loaders, strict=True))

    def build_scheduler(self) -> None:
        """Build the schedule for the run's number of updates."""
        schedules.announce_updates(self.run.data.max_updates)
        if self.options.loop.lr_scheduler:
            self.follow_schedule(build_scheduler(self.run.optimizer, self.trainer.config))
        schedules.announce_updates(None)  # another run in this process has a length of its own

    def prepare_batch(self, batch: Any, dataset: Any, name: str, split: str) -> Any:
        """Move a batch to the device, as its dataset does it."""
        return dataset.prepare_batch(batch)

    def log_scalars(self, scalars: Mapping[str, float], update: int, losses: Mapping[str, float]) -> None:
        """Pass numbers on to TensorBoard and Weights & Biases."""
        if self.trainer.tb_writer is not None:
            self.trainer.tb_writer.add_scalars(dict(scalars), update)
        if self.wandb_logger is not None:
            self.wandb_logger.log_metrics({**scalars, "trainer/global_step": update})

    def start_wandb(self) -> None:
        """Start the run's page on Weights & Biases, from one process, where ``training.wandb`` says so."""
        if self.options.wandb.enabled and get_rank() == 0:
            folder = get_mmf_env(key="wandb_logdir") or get_mmf_env(key="save_dir")
            self.wandb_logger = WandbLogger(to_plain(self.trainer.config), folder)


@registry.register_trainer("clipbert")
class ClipBertTrainer(BaseTrainer):
    """Runs ``training.trainer: clipbert``."""

    writer: Any

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.host = ReleaseHost(self)

    def load(self) -> None:
        """As MMF; a process whose data or model cannot be built tells the others."""
        with report_failures(lambda: "the start"):
            super().load()

    def _set_device(self) -> None:
        self.host.start_run()

    def config_based_setup(self) -> None:
        """Do nothing: ``training.cudnn_benchmark`` is applied with the device."""

    def load_datasets(self) -> None:
        """Let MMF build datasets and loaders, then put them in our order."""
        super().load_datasets()
        self.host.order_data(self.host.list_loaders("train"), self._make_mixing())

    def _make_mixing(self) -> Mixing | None:
        """Return the release's own way, which its switch decides.

        None where section ``multitasking`` does.
        """
        if self.host.options.multitasking is not None:
            return None
        train = self.train_loader
        draw = partial(np.random.choice, train.num_datasets, p=train._dataset_probabilities)
        is_proportional = bool(train._proportional_sampling)
        return Mixing(draw, is_proportional, "" if is_proportional else "random")

    def load_model_and_optimizer(self) -> None:
        """As MMF, from weights that depend on the seed alone."""
        self.host.seed_model()
        super().load_model_and_optimizer()

    def load_extras(self) -> None:
        """Prepare optimizer and schedule, then load what ``checkpoint.*`` names."""
        self.host.prepare_optimizer()
        self.host.build_scheduler()
        self.host.make_checkpoint().load_state_dict()
        self.tb_writer = None
        if self.host.options.loop.tensorboard:
            folder = get_mmf_env(key="tensorboard_logdir") or self.writer.log_folder
            self.tb_writer = TensorboardLogger(folder, self.host.run.current_iteration)
        self.host.start_wandb()

    def parallelize_model(self) -> None:
        """Wrap the model where there are several processes."""
        self.host.parallelize_model()

    def train(self) -> None:
        """Train if ``run_type`` says so, then evaluate or predict."""
        with report_failures(self.host.run.describe_place):
            self.host.train()
            self.host.close()

    def inference(self) -> None:
        """Evaluate, or predict, the splits that ``run_type`` names."""
        with report_failures(self.host.run.describe_place):
            self.host.evaluate()
            self.host.close()


@registry.register_trainer("base_trainer")
class OwnTrainer(BaseTrainer):
    """Runs ``training.trainer: base_trainer``, MMF's own, after a check of what it cannot do."""

    def load(self) -> None:
        """As MMF, where it can do the run."""
        check_own_trainer(self.config)
        super().load()

    def load_extras(self) -> None:
        """As MMF; a resumed run follows its present settings."""
        follow_present_settings(self.optimizer)
        super().load_extras()

    def _extract_loss(self, report: Any) -> Any:
        """As MMF, which goes on with a loss that is no number.

        Raises:
            RuntimeError: for such a loss, where ``training.exit_on_nan_losses`` says so.
        """
        loss: Any = super()._extract_loss(report)
        training = self.config.training
        if "exit_on_nan_losses" in training and training.exit_on_nan_losses and not loss.isfinite():
            raise RuntimeError(
                f"loss is not a finite number after update {self.num_updates} (epoch {self.current_epoch}); training "
                f"stops. Lower the learning rate, or clip gradients (training.max_grad_l2_norm)"
            )
        return loss
