"""Runs one call per key in a few threads, in order, without queueing a million keys at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Mapper(Protocol):
    """Runs one call per item somewhere, such as in processes or on a cluster; results come in any order."""

    def __call__(self, call: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
        """Yield ``call(item)`` for each item once; what is called can be pickled."""
        ...


def map_in_threads(
    call: Callable[[Item], Result], items: Iterable[Item], num_workers: int
) -> Iterator[Result]:
    """Yield ``call(item)`` for each item, in order.

    Threads are enough: reading, decoding and encoding release the interpreter lock.

    Args:
        call: called in one of the threads.
        items: taken as they are needed.
        num_workers: calls at the same time.

    Raises:
        ValueError: for fewer than one worker.
    """
    if num_workers < 1:
        raise ValueError(f"num_workers is {num_workers}; expected at least 1")
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(num_workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(call, item))
                if len(waiting) >= 4 * num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
