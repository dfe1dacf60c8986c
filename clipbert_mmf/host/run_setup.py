"""What the trainers of both MMFs set up in the same way: seed, device, precision, schedule, and what stops a run.

Comes before the loops; each function is called from the place where its MMF does the like.
"""

from __future__ import annotations

import logging

import torch
from mmf.common.registry import registry
from mmf.utils.build import build_scheduler

from clipbert_mmf.host.checkpoints import RunCheckpoint, RunEarlyStopping, peek_seed
from clipbert_mmf.host.parallel import from_first, get_world_size, pick_device
from clipbert_mmf.host.precision import Precision, read_precision
from clipbert_mmf.host.seeding import seed_all
from clipbert_mmf.optim.schedules import announce_updates

logger = logging.getLogger(__name__)


class RunSetup:
    """Expects of the trainer: ``config``, and what the methods say they need."""

    def set_up_device(self) -> None:
        """Choose the device and the run's seed, before anything is built.

        MMF's main gives every process another seed; data must be the same on all, and a resumed run goes on with the
        seed it began with.
        """
        self.training_config = self.config.training
        self.local_rank = int(self.config.get("device_id", 0) or 0)
        self.device = pick_device(self.local_rank, self.training_config.get("device", "cuda"))
        self.distributed = get_world_size() > 1
        registry.register("current_device", self.device)
        registry.register("global_device", self.config.distributed.get("rank", 0) or 0)
        stored = peek_seed(self.config)
        configured = self.training_config.seed
        seed = stored if stored is not None else configured if configured is not None else torch.initial_seed() % 2**31
        self.seed = int(from_first(int(seed)))
        if stored is not None and stored != configured:
            logger.info("going on with seed %d of the resumed run", stored)
        self.training_config.seed = self.seed
        registry.register("seed", self.seed)
        torch.backends.cudnn.benchmark = bool(self.training_config.get("cudnn_benchmark", False))
        torch.backends.cudnn.deterministic = not torch.backends.cudnn.benchmark
        self.precision = Precision(read_precision(self.training_config), self.device)
        self.scaler = self.precision.make_scaler()

    def seed_model(self) -> None:
        """Make the model's first weights depend on the seed alone, not on what the data drew before."""
        seed_all(self.seed, "model")

    def build_schedule(self) -> None:
        """Build the schedule for the run's number of updates; needs ``optimizer`` and ``max_updates``."""
        announce_updates(self.max_updates)
        self.scheduler = build_scheduler(self.optimizer, self.config) if self.training_config.lr_scheduler else None

    def make_checkpoint(self) -> RunCheckpoint:
        """Create the checkpoint and the early stopping that saves with it."""
        options = self.training_config.early_stop
        self.checkpoint = RunCheckpoint(self)
        self.early_stopping = RunEarlyStopping(
            self.model, self.checkpoint, options.criteria, patience=options.patience, minimize=options.minimize,
            should_stop=options.enabled,
        )
        return self.checkpoint
