"""Shares the media of an index among the processes of ``torchrun`` or ``srun``: each encodes and appends its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from torch import distributed as dist

Value = TypeVar("Value")
#: Longest time that a process waits for the slowest one.
_TIMEOUT = timedelta(hours=24)
#: Torch gives its collectives no complete types.
_collectives: Any = dist


class Shares:
    """The processes of one call.

    Attributes:
        rank: number of this process, from 0; 0 plans and finishes.
        size: number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size

    def send(self, value: Value) -> Value:
        """Return the value of process 0 on every process."""
        if self.size == 1:
            return value
        values = [value]
        _collectives.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, on every process; waits for all."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        _collectives.all_gather_object(values, value)
        return values


@contextmanager
def join_shares(environment: Mapping[str, str] = os.environ) -> Iterator[Shares]:
    """Find the other processes of a launcher; alone, there are none.

    Raises:
        ValueError: if ``srun`` started several and does not say where the first one listens.
    """
    rank, size = find_rank(environment)
    if size == 1:
        yield Shares()
        return
    if "MASTER_ADDR" not in environment or "MASTER_PORT" not in environment:
        raise ValueError(
            f"{size} processes were started, and MASTER_ADDR and MASTER_PORT do not say where the first one listens; "
            f"export both before srun, or start with torchrun"
        )
    dist.init_process_group("gloo", rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        yield Shares(rank, size)
    finally:
        dist.destroy_process_group()


def find_rank(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of this process and of all processes, as ``torchrun`` or ``srun`` say."""
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return int(environment["RANK"]), int(environment["WORLD_SIZE"])
    size = environment.get("SLURM_STEP_NUM_TASKS", "1")
    return (int(environment["SLURM_PROCID"]), int(size)) if size != "1" else (0, 1)
