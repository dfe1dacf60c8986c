"""Gives MMF's data loaders our samplers and worker options, and tells datasets the epoch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.processes import leave_signals_to
from clipbert_mmf.training.data_order import ShardedBatches, ShardedItems
from clipbert_mmf.training.distributed import get_rank, get_world_size
from clipbert_mmf.training.options import WorkerOptions

_DEFAULTS = WorkerOptions()


def find_order(loader: DataLoader[Any], name: str) -> tuple[int, int, bool]:
    """Return the number of items and the batch size of MMF's loader, and whether MMF meant it to shuffle.

    Raises:
        ConfigurationError: if its order cannot be reproduced: an iterable dataset, or a sampler of the
            builder's own.
    """
    dataset: Any = loader.dataset
    if isinstance(dataset, IterableDataset) or loader.batch_size is None:
        raise ConfigurationError(
            f"dataset '{name}' is iterable or batches itself, so its order cannot be resumed; "
            "use MMF's own trainer for it"
        )
    sampler = cast(Any, loader).sampler
    if isinstance(sampler, DistributedSampler):
        return len(dataset), loader.batch_size, bool(sampler.shuffle)
    if isinstance(sampler, (RandomSampler, SequentialSampler)):
        return len(dataset), loader.batch_size, isinstance(sampler, RandomSampler)
    raise ConfigurationError(
        f"dataset '{name}' brings its own sampler {type(sampler).__name__}, whose order cannot be resumed; "
        "use MMF's own trainer for it"
    )


def rebuild_loader(
    loader: DataLoader[Any],
    batch_sampler: Sampler[list[int]] | Iterable[list[int]],
    options: WorkerOptions = _DEFAULTS,
    dataset: Dataset[Any] | None = None,
) -> DataLoader[Any]:
    """Return the loader with another batch sampler (and dataset) and our options for its workers.

    The rest is kept.
    """
    given: Any = loader
    workers: dict[str, Any] = {}
    if given.num_workers > 0:
        workers = {
            "prefetch_factor": options.prefetch_factor or given.prefetch_factor,
            "persistent_workers": options.persistent_workers,
            "multiprocessing_context": options.worker_start_method or given.multiprocessing_context,
            "timeout": options.worker_timeout_sec or given.timeout,
        }
    rebuilt: Any = DataLoader(
        given.dataset if dataset is None else dataset,
        batch_sampler=batch_sampler,
        collate_fn=given.collate_fn,
        num_workers=given.num_workers,
        pin_memory=given.pin_memory,
        worker_init_fn=partial(_begin_worker, os.getpid(), given.worker_init_fn),
        **workers,
    )
    rebuilt.dataset_type = getattr(given, "dataset_type", None)
    return rebuilt


def _begin_worker(parent: int, begin: Callable[[int], None] | None, number: int) -> None:
    """End a worker with its process, and leave signals to that one, which reads on until the run is saved."""
    leave_signals_to(parent)
    if begin is not None:
        begin(number)


def kill_workers(iterator: Iterator[Any]) -> None:
    """End the workers of a loader at once, of which some may hang."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises for a worker that was killed
    for worker in getattr(iterator, "_workers", ()):
        worker.kill()


def make_training_loader(
    loader: DataLoader[Any], name: str, seed: int, options: WorkerOptions
) -> tuple[DataLoader[Any], ShardedBatches]:
    """Return a loader that reads this process's share of the global batches, and its sampler."""
    world_size = get_world_size()
    num_items, batch_size, shuffle = find_order(loader, name)
    sampler = ShardedBatches(num_items, batch_size * world_size, shuffle, seed, name, get_rank(), world_size)
    return rebuild_loader(loader, sampler, options), sampler


def make_evaluation_loader(
    loader: DataLoader[Any], name: str, options: WorkerOptions = _DEFAULTS
) -> tuple[DataLoader[Any], list[int]]:
    """Return a loader that reads this process's share of the items, each once, and their numbers in order."""
    num_items, batch_size, _ = find_order(loader, name)
    sampler = ShardedItems(num_items, batch_size, get_rank(), get_world_size())
    return rebuild_loader(loader, sampler, replace(options, persistent_workers=False)), sampler.items


def tell_epoch(dataset: Dataset[Any], epoch: int) -> None:
    """Call ``set_epoch`` on a dataset and on those it wraps, where they have it."""
    for part in _walk(dataset):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def describe_health(datasets: Iterable[Dataset[Any]]) -> dict[str, int]:
    """Return what datasets report of themselves through ``describe_health``, where they have it."""
    health: dict[str, int] = {}
    for dataset in datasets:
        for part in _walk(dataset):
            if hasattr(part, "describe_health"):
                health.update(part.describe_health())
    return health


def _walk(dataset: Any) -> Iterator[Any]:
    """Yield a dataset and those it wraps, as ``ConcatDataset`` and ``Subset`` do."""
    yield dataset
    inner = getattr(dataset, "datasets", None)
    parts = (
        cast(Sequence[Any], inner)
        if isinstance(inner, (list, tuple))
        else [getattr(dataset, "dataset", None)]
    )
    for part in parts:
        if isinstance(part, Dataset) and part is not dataset:
            yield from _walk(part)
