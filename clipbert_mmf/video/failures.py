"""Remembers which media of a split could not be read, for all workers of a process at once and for later runs.

Training replaces a broken medium and goes on; here it is counted, logged once with its reason and written to the bad
list, and training stops when too many failed. Evaluation never asks here: it keeps every item.
"""
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# torch's own annotations leave the arguments of some methods open.

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch

logger = logging.getLogger(__name__)


class TooManyFailuresError(RuntimeError):
    """More media failed than the configured share: the data, not a file, is broken."""


class FailureLog:
    """The broken media of one split.

    Args:
        name: dataset and split, for messages.
        num_media: number of distinct media of the split.
        max_share: largest share of broken media, in [0, 1], before training stops.
        bad_list: JSON-lines file that remembers broken media between epochs, ranks and runs, or None.
    """

    def __init__(self, name: str, num_media: int, max_share: float, bad_list: Path | None = None):
        if not 0.0 <= max_share <= 1.0:
            raise ValueError(f"max_failure_share is {max_share}; expected a share between 0 and 1")
        self.name = name
        self.max_share = max_share
        self.bad_list = bad_list
        # Shared memory: a worker's mark is seen by its siblings, whether forked or spawned. Marks only go from 0
        # to 1, so no lock is needed.
        self._broken = torch.zeros(num_media, dtype=torch.uint8).share_memory_()

    @property
    def num_broken(self) -> int:
        """Distinct media known to be broken."""
        return int(self._broken.sum())

    def is_broken(self, media: int) -> bool:
        """Return whether the medium failed before."""
        return bool(self._broken[media])

    def read_bad_list(self, index_of_key: Callable[[str], int | None]) -> int:
        """Mark the media that earlier epochs, runs and other ranks found broken; return how many are marked now.

        Args:
            index_of_key: maps a key to its media index, or to None where the split lacks it.

        Raises:
            ValueError: for a line that is not what ``add`` writes.
        """
        if self.bad_list is None or not self.bad_list.exists():
            return 0
        with self.bad_list.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    key = json.loads(line)["key"]
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(
                        f"{self.bad_list}:{number}: found {line.strip()[:80]!r}; expected a JSON object with 'key'. "
                        f"Mend the line or delete the file"
                    ) from error
                media = index_of_key(key)
                if media is not None:
                    self._broken[media] = 1
        return self.num_broken

    def add(self, media: int, key: str, reason: str) -> None:
        """Mark a broken medium; the first time it is logged and written to the bad list."""
        if self.is_broken(media):
            return
        self._broken[media] = 1
        logger.warning("%s: '%s' cannot be read: %s", self.name, key, reason)
        if self.bad_list is not None:
            _append_line(self.bad_list, {"key": key, "reason": reason})

    def check(self) -> None:
        """Stop training that runs on too little data.

        Raises:
            TooManyFailuresError: when more than ``max_share`` of the media are broken.
        """
        total = len(self._broken)
        if self.num_broken > self.max_share * total:
            raise TooManyFailuresError(
                f"{self.name}: {self.num_broken} of {total} media cannot be read, more than "
                f"max_failure_share={self.max_share:g} allows. Check the media directory (clipbert check); "
                f"broken ones are listed in {self.bad_list or 'the log'}"
            )


def _append_line(path: Path, entry: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
    # One write in append mode: lines of several workers do not mix.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
