"""Runs one call per item in this process or in several on this machine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

import torch

from clipbert_mmf.library.encoding import Encoded, Encoder, Work
from clipbert_mmf.processes import end_with_parent
from clipbert_mmf.video.parallel import map_in_threads

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Items that wait for each worker: enough that none is idle, few enough that little is lost.
_WAITING = 4


class Engine(Protocol):
    """Encodes media somewhere; results come in any order."""

    def encode(self, encoder: Encoder, works: Iterable[Work]) -> Iterator[Encoded]:
        """Yield the outcome of each medium."""
        ...


class ThisProcess:
    """Encodes in this process; threads read ahead.

    Args:
        num_readers: threads that read, each with a reader process.
    """

    def __init__(self, num_readers: int = 2):
        self.num_readers = num_readers

    def encode(self, encoder: Encoder, works: Iterable[Work]) -> Iterator[Encoded]:
        """See ``Engine``."""
        read = map_in_threads(lambda work: (work, encoder.read(work)), works, self.num_readers)
        for work, loaded in read:
            yield encoder.encode(work, loaded)


class WorkerProcesses:
    """Encodes in several processes of this machine, each with the model.

    Args:
        num_workers: processes.
    """

    def __init__(self, num_workers: int):
        self.num_workers = num_workers

    def encode(self, encoder: Encoder, works: Iterable[Work]) -> Iterator[Encoded]:
        """See ``Engine``."""
        return map_in_processes(encoder, works, self.num_workers)


def map_in_processes(
    call: Callable[[Item], Result], items: Iterable[Item], num_workers: int
) -> Iterator[Result]:
    """Yield ``call(item)`` for each item, in the order in which they are done.

    Args:
        call: sent to each process once.
        items: taken as they are needed.
        num_workers: processes.

    Raises:
        RuntimeError: if a process was killed.
    """
    threads = max(1, (os.cpu_count() or 1) // num_workers)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, _start_worker, (call, os.getpid(), threads)) as pool:
        waiting: set[Future[Any]] = set()
        try:
            for item in items:
                waiting.add(pool.submit(_call_worker, item))
                if len(waiting) >= _WAITING * num_workers:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process ended without an answer: it was killed, or memory ran out; use fewer --workers. "
                "What was written before is whole, the same command goes on"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


_CALLS: list[Callable[[Any], Any]] = []


def _start_worker(call: Callable[[Any], Any], parent: int, num_threads: int) -> None:
    end_with_parent(parent)
    torch.set_num_threads(num_threads)
    _CALLS[:] = [call]


def _call_worker(item: Any) -> Any:
    return _CALLS[0](item)
