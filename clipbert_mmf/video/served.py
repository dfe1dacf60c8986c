"""Counts the videos that each backend served, over all workers of a data loader, for one log line per epoch."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's own annotations leave the arguments of these methods open.

from __future__ import annotations

import torch
from torch.utils.data import get_worker_info

from clipbert_mmf.video.decode import BACKENDS

#: Rows of the table: the main process and its workers. More workers share rows.
_MAX_WORKERS = 128
_ANOTHER = "another"


class ServedTally:
    """Counts in memory that all workers share; the main process asks its copy with ``take``.

    Args:
        backends: the names to count; None for all that are registered. Ones that are registered later count as
            ``another``.
    """

    def __init__(self, backends: tuple[str, ...] | None = None):
        self.backends = (*(BACKENDS if backends is None else backends), _ANOTHER)
        # Shared memory, forked or spawned. Each worker has its own row, so that no lock is needed.
        self._counts = torch.zeros(_MAX_WORKERS + 1, len(self.backends), dtype=torch.int64).share_memory_()
        self._taken = torch.zeros(len(self.backends), dtype=torch.int64)

    def __call__(self, backend: str) -> None:
        """Count one video."""
        worker = get_worker_info()
        row = 0 if worker is None else 1 + worker.id % _MAX_WORKERS
        name = backend if backend in self.backends else _ANOTHER
        self._counts[row, self.backends.index(name)] += 1

    def take(self) -> dict[str, int]:
        """Return the counts since the last call in this process.

        Backends that served nothing are left out.
        """
        total = self._counts.sum(0)
        new, self._taken = (total - self._taken).tolist(), total
        return {backend: count for backend, count in zip(self.backends, new, strict=True) if count}
