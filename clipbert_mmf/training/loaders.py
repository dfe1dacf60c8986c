"""Gives MMF's data loaders our samplers and worker options, and tells datasets the epoch."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
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
#: Seconds beyond ``training.worker_timeout_sec`` after which workers are ended.
_GRACE_SEC = 5.0


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
    rebuilt: Any = BoundedLoader(
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


class BoundedLoader(DataLoader[Any]):
    """A loader whose waits end: torch's own limit does not cover a worker that stops after it announced a batch."""

    def __iter__(self) -> Any:
        """Return an iterator over batches."""
        iterator: Any = super().__iter__()
        return _BoundedIterator(iterator, self.timeout) if self.timeout else iterator


class _BoundedIterator:
    """Reads batches, each within a time; the workers are ended where one does not come."""

    def __init__(self, iterator: Any, timeout_sec: float) -> None:
        self._iterator, self._timeout_sec = iterator, timeout_sec
        self._workers: Sequence[Any] = iterator._workers
        self._stopped: list[str] | None = None

    def __iter__(self) -> _BoundedIterator:
        return self

    def __len__(self) -> int:
        return len(self._iterator)

    def __next__(self) -> Any:
        # torch's own limit comes first, where it works.
        timer = threading.Timer(self._timeout_sec + _GRACE_SEC, self._end_workers)
        timer.daemon = True
        timer.start()
        try:
            return next(self._iterator)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            if self._stopped is None and "timed out" in str(error):
                self._end_workers()
            if self._stopped is None:
                raise
            # torch's handler would raise once more, for each worker that was ended.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            named = ", ".join(self._stopped) or "none of them is stopped"
            raise RuntimeError(
                f"no batch came within training.worker_timeout_sec={self._timeout_sec:g}: a data worker hangs and was "
                f"ended (stopped: {named}); a stopped process is often one that the system or a debugger froze"
            ) from error
        finally:
            timer.cancel()

    def _end_workers(self) -> None:
        self._stopped = [
            f"worker {number}, process {worker.pid}"
            for number, worker in enumerate(self._workers)
            if worker.pid is not None and _is_stopped(worker.pid)
        ]
        for worker in self._workers:
            worker.kill()


def _is_stopped(pid: int) -> bool:
    """Return whether a process is stopped, as by SIGSTOP; False where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] in (
            "T",
            "t",
        )
    except (OSError, IndexError):
        return False


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
