"""MMF builds the data loaders; here they get our samplers, and datasets are told the epoch.

Comes between MMF's loaders and the training and evaluation loops.
"""

from __future__ import annotations

import logging
from typing import Iterator

from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from clipbert_mmf.host.epoch_order import ShardedBatches, ShardedItems
from clipbert_mmf.host.parallel import get_rank, get_world_size

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


def rebuild_loader(loader: DataLoader, batch_sampler: Sampler, persistent_workers: bool = False) -> DataLoader:
    """Return the loader with another batch sampler and everything else kept.

    Workers are started anew for each pass unless ``persistent_workers``: so they see what ``set_epoch`` changed.
    """
    options = {}
    if loader.num_workers > 0:
        options = {
            "prefetch_factor": loader.prefetch_factor,
            "persistent_workers": persistent_workers,
            "multiprocessing_context": loader.multiprocessing_context,
        }
    rebuilt = DataLoader(
        loader.dataset, batch_sampler=batch_sampler, collate_fn=loader.collate_fn, num_workers=loader.num_workers,
        pin_memory=loader.pin_memory, timeout=loader.timeout, worker_init_fn=loader.worker_init_fn, **options,
    )
    rebuilt.dataset_type = getattr(loader, "dataset_type", None)
    return rebuilt


def make_training_loader(
    loader: DataLoader, name: str, seed: int, persistent_workers: bool
) -> tuple[DataLoader, ShardedBatches]:
    """Return a loader that reads this process's share of the global batches, and its sampler."""
    world_size = get_world_size()
    shuffle = is_shuffled(loader, name)
    sampler = ShardedBatches(
        len(loader.dataset), loader.batch_size * world_size, shuffle, seed, name, get_rank(), world_size
    )
    return rebuild_loader(loader, sampler, persistent_workers), sampler


def make_evaluation_loader(loader: DataLoader, name: str) -> tuple[DataLoader, list[int]]:
    """Return a loader that reads this process's share of the items, each once, and their numbers in order."""
    is_shuffled(loader, name)  # refuses what has no order
    sampler = ShardedItems(len(loader.dataset), loader.batch_size, get_rank(), get_world_size())
    return rebuild_loader(loader, sampler), sampler.items


def tell_epoch(dataset: Dataset, epoch: int) -> None:
    """Call ``set_epoch`` on a dataset and on those it wraps, where they have it."""
    for part in _walk(dataset):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def _walk(dataset: Dataset) -> Iterator[Dataset]:
    yield dataset
    inner = getattr(dataset, "datasets", None)  # ConcatDataset
    for part in inner if isinstance(inner, (list, tuple)) else [getattr(dataset, "dataset", None)]:  # Subset
        if isinstance(part, Dataset) and part is not dataset:
            yield from _walk(part)
