"""Counts which backend served how many videos, over all workers of a data loader, for one log line per epoch."""

from __future__ import annotations

import torch
from torch.utils.data import get_worker_info

#: Rows of the table: the main process and its workers. More workers share rows.
_MAX_WORKERS = 128


class ServedTally:
    """Pass it as ``on_served`` to ``read_frames``; ask the main process's copy with ``take``.

    Args:
        backends: the names to count.
    """

    def __init__(self, backends: tuple[str, ...] = ("pyav", "decord")):
        self.backends = backends
        # Shared memory, forked or spawned. Each worker has its own row, so that no lock is needed.
        self._counts = torch.zeros(_MAX_WORKERS + 1, len(backends), dtype=torch.int64).share_memory_()
        self._taken = torch.zeros(len(backends), dtype=torch.int64)

    def __call__(self, backend: str) -> None:
        """Count one video."""
        worker = get_worker_info()
        row = 0 if worker is None else 1 + worker.id % _MAX_WORKERS
        self._counts[row, self.backends.index(backend)] += 1

    def take(self) -> dict[str, int]:
        """Return the counts since the last call in this process."""
        total = self._counts.sum(0)
        new = total - self._taken
        self._taken = total
        return {backend: int(count) for backend, count in zip(self.backends, new) if count}
