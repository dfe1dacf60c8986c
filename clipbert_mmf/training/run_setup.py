"""What the trainers of both MMFs set up in the same way: seed, device, precision, data order, schedule, checkpoint.

Comes before the loops; each function is called from the place where its MMF does the like.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from mmf.common.registry import registry
from mmf.utils.build import build_scheduler
from torch import Tensor

from clipbert_mmf.optim.fused import fuse_step
from clipbert_mmf.plugin import schedules
from clipbert_mmf.configuration import to_plain
from clipbert_mmf.settings import read_setting
from clipbert_mmf.training.checkpoints import RunCheckpoint, peek_seed
from clipbert_mmf.training.data_order import EpochOrder, split_into_updates
from clipbert_mmf.training.dataset_mixing import Mixing, read_mixing
from clipbert_mmf.training.distributed import (
    ParallelOptions,
    check_batch_size,
    from_first,
    get_rank,
    get_world_size,
    leave_together,
    pick_device,
    read_parallel_options,
    unwrap_model,
    wrap_model,
)
from clipbert_mmf.training.early_stopping import RunEarlyStopping
from clipbert_mmf.training.loaders import make_training_loader, read_worker_options
from clipbert_mmf.training.logging import LossWindow, MetricsFile, Stopwatch
from clipbert_mmf.training.precision import Precision, read_precision
from clipbert_mmf.training.seeding import seed_all
from clipbert_mmf.training.sharding import shard

logger = logging.getLogger(__name__)


class RunSetup:
    """Expects of the trainer: ``config``, and what the methods say they need."""

    def set_up_device(self) -> None:
        """Choose the device and the run's seed, before anything is built.

        MMF's main gives every process another seed; data must be the same on all, and a resumed run goes on with the
        seed it began with.
        """
        self.training_config = self.config.training
        self.local_rank = int(read_setting(self.config, "device_id", 0) or 0)
        self.device = pick_device(self.local_rank, read_setting(self.training_config, "device", "cuda"))
        self.distributed = get_world_size() > 1
        for wrapper in ("data_parallel", "distributed"):  # an earlier run in this process had one, perhaps
            registry.register(wrapper, False)
        registry.register("current_device", self.device)
        registry.register("global_device", read_setting(self.config.distributed, "rank", 0) or 0)
        stored = peek_seed(self.config)
        configured = self.training_config.seed
        seed = (
            stored
            if stored is not None
            else configured
            if configured is not None
            else torch.initial_seed() % 2**31
        )
        self.seed = int(from_first(int(seed)))
        if stored is not None and stored != configured:
            logger.info("going on with seed %d of the resumed run", stored)
        self.training_config.seed = self.seed
        registry.register("seed", self.seed)
        torch.backends.cudnn.benchmark = bool(read_setting(self.training_config, "cudnn_benchmark", False))
        torch.backends.cudnn.deterministic = not torch.backends.cudnn.benchmark
        self.precision = Precision(read_precision(self.training_config), self.device)
        self.scaler = self.precision.make_scaler()
        self.worker_options = read_worker_options(self.training_config)
        self.parallel_options = read_parallel_options(self.training_config)
        if read_setting(self.training_config, "batch_size_per_device") is None:
            check_batch_size(
                self.training_config.batch_size, read_setting(self.training_config, "update_frequency", 1)
            )

    def start_bookkeeping(self, folder: str) -> None:
        """Create what training and evaluation write to."""
        self.window = LossWindow(self.device)
        self.stopwatch = Stopwatch()
        self.metrics_file = MetricsFile(folder, enabled=get_rank() == 0)
        self.last_lr: list[float] = []
        self.last_grad_norm: Tensor | None = None

    def seed_model(self) -> None:
        """Make the model's first weights depend on the seed alone, not on what the data drew before."""
        seed_all(self.seed, "model")

    def prepare_optimizer(self) -> None:
        """Fuse its step, and split over processes what ``training.sharding`` names; needs ``model`` and no state yet.

        Evaluation holds all weights anyway (``whole_weights``), so a run that does not train is not sharded.
        """
        if "train" not in self.run_type:
            self.parallel_options = ParallelOptions()
        # Lists of the configuration stay what they are in old versions of PyTorch, and checkpoints hold plain values.
        for group in self.optimizer.param_groups:
            group.update({key: to_plain(value) for key, value in group.items() if key != "params"})
        settings = to_plain(read_setting(self.config.optimizer, "params")) or {}
        optimizer, settings = fuse_step(self.optimizer, settings)
        self.optimizer = shard(self.model, optimizer, self.parallel_options, settings, self.device)

    def parallelize_model(self) -> None:
        """Wrap the model where there are several processes; several GPUs in one process are not used."""
        self.model = wrap_model(self.model, self.parallel_options)
        registry.register("data_parallel", False)
        # What MMF concludes from it is that there is a wrapper.
        registry.register("distributed", unwrap_model(self.model) is not self.model)

    def leave(self) -> None:
        """End the run: the last thing each process does with the others."""
        self.model, self.last_report = unwrap_model(self.model), None
        if hasattr(self.optimizer, "process_group"):  # a ZeroRedundancyOptimizer
            self.optimizer.process_group = None
        leave_together()

    def describe_place(self) -> str:
        """Return where the run stands, for messages."""
        return f"update {self.num_updates}, epoch {self.current_epoch}" if self.num_updates else "the start"

    def build_schedule(self) -> None:
        """Build the schedule for the run's number of updates; needs ``optimizer`` and ``max_updates``."""
        schedules.announce_updates(self.max_updates)
        self.scheduler = (
            build_scheduler(self.optimizer, self.config) if self.training_config.lr_scheduler else None
        )
        schedules.announce_updates(None)  # nobody else's business, should another run follow in this process

    def make_checkpoint(self) -> RunCheckpoint:
        """Create the checkpoint and the early stopping that saves with it."""
        options = self.training_config.early_stop
        self.checkpoint = RunCheckpoint(self)
        self.early_stopping = RunEarlyStopping(
            self.model,
            self.checkpoint,
            options.criteria,
            patience=options.patience,
            minimize=options.minimize,
            should_stop=options.enabled,
        )
        return self.checkpoint

    def build_order(self, loaders: dict[str, Any], fallback: Mixing = Mixing()) -> None:
        """Replace MMF's training loaders by ones in our order, and find the number of updates.

        Args:
            loaders: MMF's, by dataset.
            fallback: how this MMF would mix them, where section ``multitasking`` does not say it.
        """
        pairs = {
            name: make_training_loader(loader, name, self.seed, self.worker_options)
            for name, loader in loaders.items()
        }
        self.train_loaders = {name: loader for name, (loader, _) in pairs.items()}
        sizes = {name: sampler.num_items for name, (_, sampler) in pairs.items()}
        mixing = read_mixing(read_setting(self.config, "multitasking"), sizes, fallback)
        if len(sizes) > 1:
            logger.info("training on %s, %s", sizes, mixing.about or "at random by size, each once per epoch")
        self.order = EpochOrder([sampler for _, sampler in pairs.values()], self.seed, mixing)
        self.batches_per_update = int(read_setting(self.training_config, "update_frequency", 1))
        self.max_updates = self._count_updates()

    def _count_updates(self) -> int:
        per_epoch = len(split_into_updates(self.order.num_batches, self.batches_per_update))
        max_epochs, max_updates = self.training_config.max_epochs, self.training_config.max_updates
        if max_epochs is not None:
            return math.ceil(per_epoch * max_epochs)
        if max_updates is None:
            raise ValueError("set training.max_updates or training.max_epochs")
        return int(max_updates)

    def run_state(self) -> dict[str, Any]:
        """Return the place in the run, beside MMF's own counters; plain values only."""
        return {
            "version": 1,
            "seed": int(self.seed),
            "epoch_position": self.epoch_position,
            "order": self.order.describe(),
            "evaluated_at": self.evaluated_at,
            "loss_window": self.window.state(),
        }

    def restore_run_state(self, state: dict[str, Any]) -> None:
        """Go on from a place; other data has no such place, and the next epoch begins."""
        self.evaluated_at = state.get("evaluated_at", -1)
        if not state:
            return
        position = self.order.find_place(state["order"], state["epoch_position"])
        if position is not None:
            self.epoch_position = position
        else:
            logger.warning(
                "data or batch size changed since the checkpoint (%s, now %s): starting with epoch %d",
                state["order"],
                self.order.describe(),
                self.current_epoch + 1,
            )
        self.window.restore(state["loss_window"], get_rank())
