"""The trainer for MMF's release (1.0.0rc10): its ``BaseTrainer`` builds, our loops train and evaluate."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from mmf.common.meter import Meter
from mmf.common.registry import registry
from mmf.common.report import Report
from mmf.trainers.base_trainer import BaseTrainer
from mmf.utils.configuration import get_mmf_env
from mmf.utils.logger import TensorboardLogger

from clipbert_mmf.training.dataset_mixing import Mixing
from clipbert_mmf.training.evaluation import EvaluationLoop
from clipbert_mmf.training.failure_reports import telling_the_others
from clipbert_mmf.training.loop import TrainingLoop
from clipbert_mmf.training.run_setup import RunSetup


@registry.register_trainer("clipbert")
class ClipBertTrainer(RunSetup, TrainingLoop, EvaluationLoop, BaseTrainer):
    """``training.trainer: clipbert``."""

    def load(self):
        """As MMF; a process whose data or model cannot be built tells the others."""
        with telling_the_others(self.describe_place):
            super().load()

    def _set_device(self):
        self.set_up_device()
        self.start_bookkeeping(get_mmf_env(key="save_dir"))

    def load_datasets(self):
        """Let MMF build datasets and loaders, then put them in our order."""
        super().load_datasets()
        train = self.train_loader
        draw = partial(np.random.choice, train.num_datasets, p=train._dataset_probabilities)
        proportional = bool(train._proportional_sampling)
        self.build_order(self._named(train), Mixing(draw, proportional, "" if proportional else "random"))

    def load_model_and_optimizer(self):
        """As MMF, from weights that depend on the seed alone."""
        self.seed_model()
        super().load_model_and_optimizer()

    def load_extras(self):
        """Create schedule, checkpoint and early stopping, then load what ``checkpoint.*`` names."""
        self.meter = Meter()
        self.prepare_optimizer()
        self.build_schedule()
        self.make_checkpoint().load_state_dict()
        self.tb_writer = None
        if self.training_config.tensorboard:
            folder = get_mmf_env(key="tensorboard_logdir") or self.writer.log_folder
            self.tb_writer = TensorboardLogger(folder, self.current_iteration)

    def train(self):
        """Train if ``run_type`` says so, then evaluate or predict."""
        with telling_the_others(self.describe_place):
            if "train" in self.run_type:
                self.run_training()
                self.finish_training()
            self.run_inference()
            self.writer.write(f"Finished run in {self.total_timer.get_time_since_start()}")
            self.leave()

    def inference(self):
        """Evaluate, or predict, the splits that ``run_type`` names."""
        with telling_the_others(self.describe_place):
            self.run_inference()
            self.leave()

    # ---- what the loops ask for

    @staticmethod
    def _named(loader) -> dict[str, Any]:
        return {dataset.dataset_name: part for dataset, part in zip(loader.datasets, loader.loaders)}

    def evaluation_loaders(self, split: str) -> dict[str, Any]:
        """Return MMF's loaders of a split by dataset."""
        return self._named(getattr(self, f"{split}_loader"))

    def prepare_batch(self, batch, dataset, name: str, split: str):
        """Move a batch to the device, as its dataset does it."""
        return dataset.prepare_batch(batch)

    def make_report(self, batch, output) -> Report:
        """Merge batch and output."""
        return Report(batch, output)

    def call_hook(self, name: str, **kwargs) -> None:
        """The release has no callbacks."""

    def note_scalars(self, values: dict[str, float], update: int) -> None:
        """Pass numbers on to TensorBoard."""
        if self.tb_writer is not None:
            self.tb_writer.add_scalars(values, update)
