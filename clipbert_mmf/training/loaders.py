"""MMF builds the data loaders; here they get our samplers, and datasets are told the epoch.

Comes between MMF's loaders and the training and evaluation loops.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from clipbert_mmf.settings import read_setting
from clipbert_mmf.training.data_order import ShardedBatches, ShardedItems
from clipbert_mmf.training.distributed import get_rank, get_world_size

logger = logging.getLogger(__name__)


def is_shuffled(loader: DataLoader, name: str) -> bool:
    """Tell whether MMF meant a loader to shuffle.

    Raises:
        ValueError: if its order cannot be reproduced: an iterable dataset, or a sampler of the builder's own.
    """
    if isinstance(loader.dataset, IterableDataset) or loader.batch_size is None:
        raise ValueError(
            f"dataset '{name}' is iterable or batches itself, so its order cannot be resumed; "
            "use MMF's own trainer for it"
        )
    sampler = loader.sampler
    if isinstance(sampler, DistributedSampler):
        return bool(sampler.shuffle)
    if isinstance(sampler, (RandomSampler, SequentialSampler)):
        return isinstance(sampler, RandomSampler)
    raise ValueError(
        f"dataset '{name}' brings its own sampler {type(sampler).__name__}, whose order cannot be resumed; "
        "use MMF's own trainer for it"
    )


@dataclass(frozen=True)
class WorkerOptions:
    """How workers read ahead.

    Attributes:
        persistent: keep training's workers between epochs; else each pass starts them anew, so that datasets without
            shared memory see what ``set_epoch`` changed.
        prefetch_factor: batches each worker reads ahead, None for torch's 2.
        timeout_sec: longest wait for a batch before the run ends with an error, 0 for no limit.
        start_method: ``fork``, ``spawn`` or ``forkserver``; None for the system's.
    """

    persistent: bool = False
    prefetch_factor: int | None = None
    timeout_sec: float = 0.0
    start_method: str | None = None


def read_worker_options(training_config: Mapping[str, Any]) -> WorkerOptions:
    """Read ``training.persistent_workers``, ``prefetch_factor``, ``worker_timeout_sec``, ``worker_start_method``.

    Raises:
        ValueError: for a start method that is none, or a prefetch factor or timeout out of range.
    """
    options = WorkerOptions(
        bool(read_setting(training_config, "persistent_workers", False)),
        read_setting(training_config, "prefetch_factor", None),
        float(read_setting(training_config, "worker_timeout_sec", None) or 0),
        read_setting(training_config, "worker_start_method", None),
    )
    if options.start_method not in (None, "fork", "spawn", "forkserver"):
        raise ValueError(
            f"training.worker_start_method is '{options.start_method}'; allowed are fork, spawn, forkserver, null"
        )
    if options.timeout_sec < 0 or (options.prefetch_factor is not None and options.prefetch_factor < 1):
        raise ValueError(
            f"training.worker_timeout_sec is {options.timeout_sec:g} and prefetch_factor {options.prefetch_factor}; "
            "expected at least 0 and at least 1"
        )
    return options


def rebuild_loader(
    loader: DataLoader,
    batch_sampler: Sampler,
    options: WorkerOptions = WorkerOptions(),
    dataset: Dataset | None = None,
) -> DataLoader:
    """Return the loader with another batch sampler (and dataset) and our options for its workers; the rest is kept."""
    workers = {}
    if loader.num_workers > 0:
        workers = {
            "prefetch_factor": options.prefetch_factor or loader.prefetch_factor,
            "persistent_workers": options.persistent,
            "multiprocessing_context": options.start_method or loader.multiprocessing_context,
            "timeout": options.timeout_sec or loader.timeout,
        }
    rebuilt = DataLoader(
        loader.dataset if dataset is None else dataset,
        batch_sampler=batch_sampler,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
        **workers,
    )
    rebuilt.dataset_type = getattr(loader, "dataset_type", None)
    return rebuilt


def make_training_loader(
    loader: DataLoader, name: str, seed: int, options: WorkerOptions
) -> tuple[DataLoader, ShardedBatches]:
    """Return a loader that reads this process's share of the global batches, and its sampler."""
    world_size = get_world_size()
    shuffle = is_shuffled(loader, name)
    sampler = ShardedBatches(
        len(loader.dataset), loader.batch_size * world_size, shuffle, seed, name, get_rank(), world_size
    )
    return rebuild_loader(loader, sampler, options), sampler


def make_evaluation_loader(
    loader: DataLoader, name: str, options: WorkerOptions = WorkerOptions()
) -> tuple[DataLoader, list[int]]:
    """Return a loader that reads this process's share of the items, each once, and their numbers in order."""
    is_shuffled(loader, name)  # refuses what has no order
    sampler = ShardedItems(len(loader.dataset), loader.batch_size, get_rank(), get_world_size())
    return rebuild_loader(loader, sampler, replace(options, persistent=False)), sampler.items


def tell_epoch(dataset: Dataset, epoch: int) -> None:
    """Call ``set_epoch`` on a dataset and on those it wraps, where they have it."""
    for part in _walk(dataset):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def describe_health(datasets: Iterable[Dataset]) -> dict[str, int]:
    """Return what datasets say of themselves through ``describe_health``, where they have it."""
    health: dict[str, int] = {}
    for dataset in datasets:
        for part in _walk(dataset):
            if hasattr(part, "describe_health"):
                health.update(part.describe_health())
    return health


def _walk(dataset: Dataset) -> Iterator[Dataset]:
    yield dataset
    inner = getattr(dataset, "datasets", None)  # ConcatDataset
    for part in inner if isinstance(inner, (list, tuple)) else [getattr(dataset, "dataset", None)]:  # Subset
        if isinstance(part, Dataset) and part is not dataset:
            yield from _walk(part)
