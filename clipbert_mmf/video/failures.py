"""Remembers which media of a split could not be read, for all workers of a process at once and for later runs.

A line of the bad list counts while the medium is as it was then: one that was replaced is tried again.

Training replaces a broken medium and goes on; here it is counted, logged once with its reason and written to
the bad list, and training stops when too many failed. Evaluation never asks here: it keeps every item.
"""
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# torch's own annotations leave the arguments of some methods open.

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from clipbert_mmf.json_text import parse_json

logger = logging.getLogger(__name__)


class TooManyFailuresError(RuntimeError):
    """More media failed than the configured share: the data, not a file, is broken."""


class FailureLog:
    """The broken media of one split: whole media, or the parts of videos that rows are about.

    Args:
        name: dataset and split, for messages.
        num_media: number of distinct media of the split, parts of one video counted each.
        max_share: largest share of broken media, in [0, 1], before training stops.
        bad_list: JSON-lines file that remembers broken media between epochs, ranks and runs, or None.
    """

    def __init__(self, name: str, num_media: int, max_share: float, bad_list: Path | None = None):
        if not 0.0 <= max_share <= 1.0:
            raise ValueError(f"max_failure_share is {max_share}; expected a share between 0 and 1")
        self.name = name
        self.max_share = max_share
        self.bad_list = bad_list
        # Shared memory: a worker's mark is seen by its siblings, whether forked or spawned. A mark that is
        # lost while the list is read is made again; no lock is needed.
        self._broken = torch.zeros(num_media, dtype=torch.uint8).share_memory_()

    @property
    def num_broken(self) -> int:
        """Distinct media known to be broken."""
        return int(self._broken.sum())

    def is_broken(self, media: int) -> bool:
        """Return whether the medium failed before."""
        return bool(self._broken[media])

    def read_bad_list(
        self,
        find: Callable[[str, tuple[float, float] | None], Iterable[int]],
        read_stamp: Callable[[str], str] = lambda key: "",
    ) -> int:
        """Mark the media that earlier epochs, runs and other ranks found broken and that did not change since.

        Args:
            find: maps a key and a part of it (None for all of it) to the indices that it stands for, none
                where the split lacks it.
            read_stamp: maps a key to the present state of its medium, as ``add`` got it.

        Returns:
            How many are marked now.

        Raises:
            ValueError: for a line that is not what ``add`` writes.
        """
        if self.bad_list is None or not self.bad_list.exists():
            return 0
        broken = torch.zeros_like(self._broken)
        stamps: dict[str, str] = {}
        with self.bad_list.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    entry = parse_json(line)
                    key, window = entry["key"], parse_window(entry.get("segment_sec"))
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(
                        f"{self.bad_list}:{number}: found {line.strip()[:80]!r}; expected a JSON object with "
                        f"'key'. "
                        f"Repair the line or delete the file"
                    ) from error
                if not (found := list(find(key, window))):
                    continue
                if key not in stamps:
                    stamps[key] = read_stamp(key)
                if entry.get("stamp", "") == stamps[key]:
                    broken[found] = 1
        self._broken.copy_(broken)
        return self.num_broken

    def add(
        self,
        media: Sequence[int],
        key: str,
        reason: str,
        *,
        name: str = "",
        window_sec: tuple[float, float] | None = None,
        stamp: str = "",
    ) -> None:
        """Mark a broken medium; the first time it is logged and written to the bad list with its present state.

        Args:
            media: indices that it stands for: one, or all parts of the medium.
            key: key of the medium.
            reason: the fault.
            name: name for the log; the key without it.
            window_sec: the part of the medium that is at fault, None for all of it.
            stamp: state of the medium.
        """
        if all(self.is_broken(one) for one in media):
            return
        for one in media:
            self._broken[one] = 1
        logger.warning("%s: %s cannot be read: %s", self.name, name or f"'{key}'", reason)
        if self.bad_list is not None:
            part = {} if window_sec is None else {"segment_sec": describe_window(window_sec)}
            _append_line(self.bad_list, {"key": key, "reason": reason, **part, "stamp": stamp})

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


def describe_window(window_sec: tuple[float, float] | None) -> list[float | None] | None:
    """Return a part of a video as JSON has it.

    Start and end, null where it goes on to the end of the video.
    """
    return None if window_sec is None else [time if math.isfinite(time) else None for time in window_sec]


def parse_window(given: Sequence[float | None] | None) -> tuple[float, float] | None:
    """Return a part of a video from what ``describe_window`` gave."""
    if given is None:
        return None
    start, end = given
    return float(start or 0.0), math.inf if end is None else float(end)


def _append_line(path: Path, entry: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
    # One write in append mode: lines of several workers do not mix.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
