"""Holds the state of one run, and prepares what its loops need: device, seed, data order, optimizer."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.optim.fused import fuse_step
from clipbert_mmf.training.data_order import EpochOrder, split_into_updates
from clipbert_mmf.training.dataset_mixing import Mixing, make_mixing
from clipbert_mmf.training.distributed import (
    broadcast_from_rank_0,
    check_batch_size,
    get_rank,
    pick_device,
    shut_down_process_group,
    unwrap_model,
)
from clipbert_mmf.training.early_stopping import EarlyStopping
from clipbert_mmf.training.interrupts import Interrupts
from clipbert_mmf.training.loaders import make_training_loader
from clipbert_mmf.training.logging import LossWindow, MetricsFile, Stopwatch
from clipbert_mmf.training.options import ParallelOptions, RunOptions
from clipbert_mmf.training.precision import Precision
from clipbert_mmf.training.sharding import find_clipped, shard

logger = logging.getLogger(__name__)

#: Version of what ``Run.describe`` returns; 1 is that of clipbert_mmf 0.1.
STATE_VERSION = 2


@dataclass(frozen=True)
class TrainingData:
    """Holds what training reads, and how long it takes.

    Attributes:
        loaders: by name of the dataset; each reads this process's share of the global batches.
        order: puts the global batches of all datasets in order.
        batches_per_update: global batches of one optimizer step.
        max_updates: length of the run.
    """

    loaders: dict[str, DataLoader[Any]]
    order: EpochOrder
    batches_per_update: int
    max_updates: int

    @property
    def updates_per_epoch(self) -> int:
        """Number of optimizer steps of one epoch."""
        return len(split_into_updates(self.order.num_batches, self.batches_per_update))

    @property
    def items_per_update(self) -> int:
        """Number of items of a full optimizer step, over all processes."""
        return self.order.streams[0].global_batch_size * self.batches_per_update


@dataclass
class Run:
    """Holds everything that training, evaluation and checkpoints share.

    MMF builds data, model and optimizer one after the other, so ``data``, ``model`` and ``optimizer`` are set
    after the run was made, and before a loop starts.

    Attributes:
        options: parsed from the configuration.
        device: this process's.
        seed: the same on all processes; a resumed run keeps the one it began with.
        precision: arithmetic of every forward pass.
        metrics_file: written by rank 0.
        early_stopping: knows the best validation so far.
        data: what training reads.
        model: wrapped where there are several processes.
        optimizer: the model's; sharded where ``training.sharding`` says so.
        scheduler: sets the learning rate; None for a constant one.
        num_updates: optimizer steps that are done.
        current_iteration: batches that are done.
        current_epoch: from 1; 0 before the first.
        epoch_position: global batches of the current epoch that are done.
        evaluated_at: update after which validation ran last; -1 for none.
        restored_update: update of the best state, where its weights were restored; None for the last ones.
        loaded_file: checkpoint that was loaded; None for none.
        scaler: scales gradients with fp16.
        window: training losses since the last line.
        stopwatch: where time went since the last line.
        interrupts: signals that end the run.
    """

    options: RunOptions
    device: torch.device
    seed: int
    precision: Precision
    metrics_file: MetricsFile
    early_stopping: EarlyStopping
    data: TrainingData = field(init=False)
    model: nn.Module = field(init=False)
    optimizer: Optimizer = field(init=False)
    scheduler: LRScheduler | None = None
    num_updates: int = 0
    current_iteration: int = 0
    current_epoch: int = 0
    epoch_position: int = 0
    evaluated_at: int = -1
    restored_update: int | None = None
    loaded_file: Path | None = None
    scaler: Any = field(init=False)
    window: LossWindow = field(init=False)
    stopwatch: Stopwatch = field(init=False)
    interrupts: Interrupts = field(default_factory=Interrupts)

    def __post_init__(self) -> None:
        """Make what follows from the device."""
        self.scaler = self.precision.make_scaler()
        self.window = LossWindow(self.device)
        self.stopwatch = Stopwatch()

    @property
    def bare_model(self) -> nn.Module:
        """The model without its wrapper: evaluation needs no other process."""
        return unwrap_model(self.model)

    def describe_place(self) -> str:
        """Return the place in the run, for messages."""
        return f"update {self.num_updates}, epoch {self.current_epoch}" if self.num_updates else "the start"

    def describe(self) -> dict[str, Any]:
        """Return the place in the run as plain values, beside the counters that MMF stores too."""
        return {
            "version": STATE_VERSION,
            "seed": self.seed,
            "criterion": self.early_stopping.early_stop_criteria,
            "minimize": self.options.early_stop.minimize,
            "epoch_position": self.epoch_position,
            "order": self.data.order.describe(),
            "evaluated_at": self.evaluated_at,
            "loss_window": self.window.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a place that ``describe`` returned. Where the data changed, the next epoch begins."""
        self.evaluated_at = state["evaluated_at"]
        position = self.data.order.find_place(state["order"], state["epoch_position"])
        if position is not None:
            self.epoch_position = position
        elif self.options.trains:
            logger.warning(
                "data or batch size changed since the checkpoint (%s, now %s): starting with epoch %d",
                state["order"],
                self.data.order.describe(),
                self.current_epoch + 1,
            )
        self.window.restore(state["loss_window"], get_rank())

    def close(self) -> None:
        """Leave the other processes: the last thing each process does with them."""
        self.model = self.bare_model
        if hasattr(self.optimizer, "process_group"):  # a ZeroRedundancyOptimizer
            self.optimizer.process_group = None  # pyright: ignore[reportAttributeAccessIssue]
        shut_down_process_group()


def start_run(options: RunOptions, folder: Path, local_rank: int, stored_seed: int | None) -> Run:
    """Choose device and seed, and return the run before its data and model are built.

    Args:
        options: parsed from the configuration.
        folder: the run's ``env.save_dir``.
        local_rank: number of this process on its machine.
        stored_seed: seed of the run that will be resumed; None for a new run.

    Raises:
        ConfigurationError: if the device cannot do the precision, or processes cannot share a batch.
    """
    loop = options.loop
    device = pick_device(local_rank, loop.device)
    torch.backends.cudnn.benchmark = loop.cudnn_benchmark
    torch.backends.cudnn.deterministic = not loop.cudnn_benchmark
    if loop.batch_size_per_device is None:
        check_batch_size(loop.batch_size, loop.update_frequency)
    return Run(
        options=options,
        device=device,
        seed=_choose_seed(stored_seed, loop.seed),
        precision=Precision(loop.precision_name, device),
        metrics_file=MetricsFile(folder, enabled=get_rank() == 0),
        early_stopping=EarlyStopping(options.early_stop),
    )


def _choose_seed(stored: int | None, configured: int | None) -> int:
    """Return one seed for all processes: MMF's main gives each another, and data must be the same on all."""
    if stored is not None and stored != configured:
        logger.info("going on with seed %d of the resumed run", stored)
    if stored is None:
        stored = configured if configured is not None else torch.initial_seed() % 2**31
    return int(broadcast_from_rank_0(stored))


def order_data(run: Run, loaders: Mapping[str, DataLoader[Any]], fallback: Mixing | None = None) -> None:
    """Give MMF's training loaders our order, and find the number of updates.

    Args:
        run: gets its ``data``.
        loaders: MMF's, by name of the dataset.
        fallback: mixes datasets where section ``multitasking`` does not say how.

    Raises:
        ConfigurationError: if the length of the run is not given.
    """
    ordered = {
        name: make_training_loader(loader, name, run.seed, run.options.workers)
        for name, loader in loaders.items()
    }
    samplers = {name: sampler for name, (_, sampler) in ordered.items()}
    sizes = {name: sampler.num_items for name, sampler in samplers.items()}
    mixing = make_mixing(run.options.multitasking, sizes, fallback)
    if len(sizes) > 1:
        logger.info("training on %s, %s", sizes, mixing.about or "at random by size, each once per epoch")
    order = EpochOrder(list(samplers.values()), run.seed, mixing)
    run.data = TrainingData(
        loaders={name: loader for name, (loader, _) in ordered.items()},
        order=order,
        batches_per_update=run.options.loop.update_frequency,
        max_updates=_count_updates(order, run.options),
    )


def _count_updates(order: EpochOrder, options: RunOptions) -> int:
    loop = options.loop
    if loop.max_epochs is not None:
        per_epoch = len(split_into_updates(order.num_batches, loop.update_frequency))
        return math.ceil(per_epoch * loop.max_epochs)
    if loop.max_updates is None:
        raise ConfigurationError("set training.max_updates or training.max_epochs")
    if loop.max_updates == 0 and options.trains and not options.first_stage.epochs:
        raise ConfigurationError(
            "training.max_updates is 0, so that nothing is trained; set it to at least 1, or "
            "training.first_stage.epochs=30 to train the contrastive head alone"
        )
    return loop.max_updates


def prepare_optimizer(run: Run) -> None:
    """Fuse the optimizer's step, and shard model and optimizer as ``training.sharding`` says.

    Needs ``run.model`` without wrapper, and an optimizer without state. A run that does not train is not
    sharded, since evaluation holds all weights anyway.

    Raises:
        ConfigurationError: if gradients of a part are to be clipped that the model does not have.
    """
    find_clipped(run.model, run.options.loop.clip_norm_mode)
    parallel = run.options.parallel if run.options.trains else ParallelOptions()
    optimizer, settings = fuse_step(run.optimizer, run.options.optimizer_params)
    run.optimizer = shard(run.model, optimizer, parallel, settings, run.device)
