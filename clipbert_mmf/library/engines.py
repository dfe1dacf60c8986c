"""Runs one call per item in this process or in several on this machine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from clipbert_mmf.inference.user_packages import PickledPackage
from clipbert_mmf.library.encoding import Encoded, Encoder, Work
from clipbert_mmf.processes import end_with_parent
from clipbert_mmf.video.parallel import map_in_threads

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Items that wait for each worker: enough that none is idle, few enough that little is lost.
_WAITING = 4
#: Threads that read ahead of the model.
_NUM_READERS = 2


def encode_here(encoder: Encoder, works: Iterable[Work]) -> Iterator[Encoded]:
    """Yield the outcome of each medium, encoded in this process; threads read ahead, each with a reader process."""
    read = map_in_threads(lambda work: (work, encoder.read(work)), works, _NUM_READERS)
    for work, loaded in read:
        yield encoder.encode(work, loaded)


@dataclass(frozen=True)
class WorkerProcesses:
    """Calls in several processes of this machine; a ``Mapper``.

    Attributes:
        num_workers: processes.
        user_dir: package that each imports first; None for none.
    """

    num_workers: int
    user_dir: str | Path | None = None

    def __call__(self, call: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
        """See ``Mapper``."""
        return map_in_processes(call, items, self.num_workers, pickle_package(self.user_dir))


def pickle_package(user_dir: str | Path | None) -> PickledPackage | None:
    """Return what makes another process import a user's package, if there is one."""
    return None if user_dir is None else PickledPackage(Path(user_dir).expanduser().resolve())


def map_in_processes(
    call: Callable[[Item], Result],
    items: Iterable[Item],
    num_workers: int,
    package: PickledPackage | None = None,
) -> Iterator[Result]:
    """Yield ``call(item)`` for each item, in the order in which they are done.

    Args:
        call: sent to each process once.
        items: taken as they are needed.
        num_workers: processes.
        package: imported by each process first.

    Raises:
        RuntimeError: if a process was killed.
    """
    threads = max(1, (os.cpu_count() or 1) // num_workers)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        num_workers, context, _start_worker, (package, call, os.getpid(), threads)
    ) as pool:
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


def _start_worker(_: object, call: Callable[[Any], Any], parent: int, num_threads: int) -> None:
    end_with_parent(parent)
    torch.set_num_threads(num_threads)
    _CALLS[:] = [call]


def _call_worker(item: Any) -> Any:
    return _CALLS[0](item)
