"""The trainer for MMF's main (1.0.0rc12): its ``MMFTrainer`` builds and calls callbacks, our loops train and evaluate."""

from __future__ import annotations

from typing import Any

from mmf.common.meter import Meter
from mmf.common.registry import registry
from mmf.common.report import Report
from mmf.common.sample import convert_batch_to_sample_list, to_device
from mmf.trainers.mmf_trainer import MMFTrainer
from mmf.utils.configuration import get_mmf_env
from omegaconf import open_dict

from clipbert_mmf.training.dataset_mixing import KINDS, Mixing
from clipbert_mmf.training.evaluation import EvaluationLoop
from clipbert_mmf.training.failure_reports import telling_the_others
from clipbert_mmf.training.loop import TrainingLoop
from clipbert_mmf.training.run_setup import RunSetup


@registry.register_trainer("clipbert")
class ClipBertTrainer(RunSetup, TrainingLoop, EvaluationLoop, MMFTrainer):
    """``training.trainer: clipbert``."""

    def load(self):
        """As MMF; a process whose data or model cannot be built tells the others."""
        with telling_the_others(self.describe_place):
            super().load()

    def configure_device(self) -> None:
        """Choose device and seed."""
        self.set_up_device()
        self.start_bookkeeping(get_mmf_env(key="save_dir"))

    def configure_seed(self) -> None:
        """Done with the device."""

    def load_datasets(self):
        """Let MMF build datasets and loaders, then put them in our order."""
        section = self.config.multitasking
        with open_dict(self.config):
            if section.type in KINDS:  # read by us; MMF's own refuse epochs, and keys that another type reads
                self.config.multitasking = {"enabled": True, "type": "size_proportional", "params": {}}
            try:
                super().load_datasets()
            finally:
                self.config.multitasking = section
        train = self.train_loader
        strategy = train.iteration_strategy
        self.build_order(
            train.loaders, Mixing(strategy, strategy.should_exhaust_all_iterators, type(strategy).__name__)
        )

    def load_model(self):
        """As MMF, from weights that depend on the seed alone."""
        self.seed_model()
        super().load_model()

    def load_optimizer(self):
        """As MMF, then with a fused step, and split over processes."""
        super().load_optimizer()
        self.prepare_optimizer()

    def load_fp16_scaler(self):
        """Done with the device."""

    def configure_callbacks(self):
        """Keep the user's callbacks; schedule, checkpoint, early stopping and messages are the loop's own."""
        super().configure_callbacks()
        own = (self.lr_scheduler_callback, self.checkpoint_callback, self.logistics_callback)
        self.callbacks = [callback for callback in self.callbacks if callback not in own]
        self.meter = Meter()
        self.build_schedule()
        self.lr_scheduler_callback._scheduler = self.scheduler
        self.checkpoint_callback._checkpoint = self.make_checkpoint()
        self.early_stop_callback.early_stopping = self.early_stopping

    def on_init_start(self, **kwargs):
        """Load what ``checkpoint.*`` names, as MMF's callback does it."""
        self.checkpoint.load_state_dict()
        super().on_init_start(**kwargs)

    def train(self) -> None:
        """Train if ``run_type`` says so, then evaluate or predict."""
        with telling_the_others(self.describe_place):
            if "train" in self.run_type:
                self.on_train_start()
                self.run_training()
                self.finish_training()
                self.on_train_end()
            self.run_inference()
            self.logistics_callback.teardown()
            self.finalize()
            self.leave()

    def inference(self):
        """Evaluate, or predict, the splits that ``run_type`` names."""
        with telling_the_others(self.describe_place):
            self.run_inference()
            self.leave()

    # ---- what the loops ask for

    def evaluation_loaders(self, split: str) -> dict[str, Any]:
        """Return MMF's loaders of a split by dataset."""
        return getattr(self, f"{split}_loader").loaders

    def prepare_batch(self, batch, dataset, name: str, split: str):
        """Move a batch to the device, as MMF does it."""
        if hasattr(dataset, "prepare_batch"):
            batch = dataset.prepare_batch(batch)
        batch = convert_batch_to_sample_list(batch)
        batch.dataset_name, batch.dataset_type = name, split
        return to_device(batch, self.device)

    def make_report(self, batch, output) -> Report:
        """Merge batch and output."""
        return Report(batch, output)

    def call_hook(self, name: str, **kwargs) -> None:
        """Call the user's callbacks."""
        getattr(self, name)(**kwargs)

    def note_scalars(self, values: dict[str, float], update: int) -> None:
        """Pass numbers on to TensorBoard and Weights & Biases."""
        if self.logistics_callback.tb_writer is not None:
            self.logistics_callback.tb_writer.add_scalars(values, update)
        if self.logistics_callback.wandb_logger is not None:
            self.logistics_callback.wandb_logger.log_metrics({**values, "trainer/global_step": update})
