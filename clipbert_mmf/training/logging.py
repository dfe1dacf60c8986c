"""Reports on a run: a line per interval for people, a record in ``metrics.jsonl`` for programs, and where time went."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from clipbert_mmf.json_text import format_json, parse_json
from clipbert_mmf.training.distributed import sum_over_processes
from clipbert_mmf.writing import naming, write_text_atomically

logger = logging.getLogger(__name__)

FILE_NAME = "metrics.jsonl"
#: Seconds between two messages of a long evaluation.
_PROGRESS_SEC = 10.0
#: An evaluation that takes longer says so after its first chunk.
_LONG_SEC = 60.0
T = TypeVar("T")


class MetricsFile:
    """Writes ``metrics.jsonl``: one JSON object per line, by one process.

    Args:
        folder: the run's ``env.save_dir``.
        enabled: False on all processes but rank 0.
    """

    def __init__(self, folder: str | os.PathLike[str], enabled: bool) -> None:
        self.path = Path(folder) / FILE_NAME
        self.enabled = enabled

    def rewind(self, num_updates: int) -> None:
        """Drop what was written after an update: a resumed run writes it again. 0 empties the file."""
        if not self.enabled or not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if self._precedes(line, num_updates)]
        write_text_atomically("".join(line + "\n" for line in kept), self.path)

    def has(self, split: str, num_updates: int) -> bool:
        """Return whether a split's numbers after an update are recorded; True where there is no file yet."""
        if not self.path.exists():
            return True
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                record = parse_json(line)
            except ValueError:  # cut off when the run was killed
                continue
            if (record.get("split"), record.get("update")) == (split, num_updates) and not record.get(
                "final"
            ):
                return True
        return False

    @staticmethod
    def _precedes(line: str, num_updates: int) -> bool:
        try:
            record = parse_json(line)
        except ValueError:  # cut off when the run was killed
            return False
        return not record.get("final") and record.get("update", 0) <= num_updates

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; numbers that JSON does not know become null.

        Raises:
            WriteError: if it cannot be written.
        """
        if not self.enabled:
            return
        with naming(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(format_json(record, ensure_ascii=True) + "\n")


class LossWindow:
    """Averages losses per item since the last line, over all processes, without waiting for the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.totals: dict[str, Tensor | float] = {}
        self.num_items: dict[str, int] = {}

    def add(self, losses: Mapping[str, Tensor | float], num_local: int, num_global: int) -> None:
        """Add the losses of one batch.

        Args:
            losses: means over this process's items.
            num_local: items of this process; 0 where it only took part.
            num_global: items over all processes.
        """
        for key, value in losses.items():
            self.totals[key] = self.totals.get(key, 0.0) + value * num_local
            self.num_items[key] = self.num_items.get(key, 0) + num_global

    def _sum(self) -> dict[str, float]:
        return sum_over_processes({key: float(value) for key, value in self.totals.items()}, self.device)

    def fold(self, rank: int) -> None:
        """Bring the sums of all processes to rank 0, so that a checkpoint holds them.

        Every process must call it.
        """
        totals = self._sum()
        self.totals = dict(totals) if rank == 0 else dict.fromkeys(totals, 0.0)

    def take(self) -> dict[str, float]:
        """Return the means and start again; every process must call it."""
        totals = self._sum()
        means = {key: totals[key] / self.num_items[key] for key in totals}
        self.totals, self.num_items = {}, {}
        return means

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what a checkpoint keeps; call ``fold`` before."""
        return {
            "totals": {key: float(value) for key, value in self.totals.items()},
            "num_items": dict(self.num_items),
        }

    def restore(self, state: Mapping[str, Mapping[str, Any]], rank: int) -> None:
        """Go on from a checkpoint's sums, which rank 0 holds for all."""
        self.num_items = dict(state["num_items"])
        self.totals = {key: value if rank == 0 else 0.0 for key, value in state["totals"].items()}


class Stopwatch:
    """Measures training since the last line: seconds, updates, and the share of waiting for data."""

    def __init__(self) -> None:
        self.restart()
        self.evaluation_sec = 0.0

    def restart(self) -> None:
        """Begin a new interval."""
        self._begin, self._waited, self._paused, self._updates = time.perf_counter(), 0.0, 0.0, 0

    @contextmanager
    def waiting(self) -> Generator[None]:
        """Count a block as waiting for data."""
        begin = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begin

    @contextmanager
    def paused(self) -> Generator[None]:
        """Leave a block (evaluation, saving) out."""
        begin = time.perf_counter()
        yield
        self._paused += time.perf_counter() - begin

    def count_update(self) -> None:
        """Count one update."""
        self._updates += 1

    def take(self) -> dict[str, float]:
        """Return updates per second and the share of waiting, and begin a new interval."""
        seconds = max(1e-9, time.perf_counter() - self._begin - self._paused)
        result = {"updates_per_sec": self._updates / seconds, "data_wait": min(1.0, self._waited / seconds)}
        self.restart()
        return result


def show_progress(batches: Iterable[T], num_batches: int, what: str, enabled: bool) -> Iterator[T]:
    """Yield batches, with a message now and then: a bar would fill a log file."""
    begin = last = time.monotonic()
    for number, batch in enumerate(batches):
        now = time.monotonic()
        if enabled and now - last >= _PROGRESS_SEC:
            left = (now - begin) / max(1, number) * (num_batches - number)
            logger.info("%s: batch %d of %d, %s left", what, number, num_batches, format_seconds(left))
            last = now
        yield batch


class PairProgress:
    """Counts pairs and reports the time that is left.

    A bar on a terminal, a message now and then in a log file.

    It counts pairs since a video with all its texts is one step of hours in a large matrix.

    Args:
        title: name of the evaluation, for messages.
        num_pairs: pairs of this process; all have about as many.
        enabled: False on all processes but rank 0.
    """

    def __init__(self, title: str, num_pairs: int, enabled: bool) -> None:
        self.title, self.num_pairs, self.enabled = title, num_pairs, enabled
        self.num_done = 0
        self._begin = self._last = time.monotonic()
        # None: a bar on a terminal only. The mean so far, not the last moments: videos differ, pairs do not.
        self._bar = tqdm(
            total=num_pairs, desc=title, unit="pair", smoothing=0, disable=None if enabled else True
        )

    def __call__(self, num_pairs: int) -> None:
        """Count pairs that are done."""
        self.num_done += num_pairs
        self._bar.update(num_pairs)
        now = time.monotonic()
        # The first chunk tells what the whole will take; after that, now and then.
        is_first = self.num_done == num_pairs and self.left_sec > _LONG_SEC
        if self.enabled and (is_first or now - self._last >= _PROGRESS_SEC):
            logger.info(
                "%s: %d of %d pairs (of this process), %s left",
                self.title,
                self.num_done,
                self.num_pairs,
                format_seconds(self.left_sec),
            )
            self._last = now

    @property
    def left_sec(self) -> float:
        """Seconds that are left, at the mean pace so far."""
        return (time.monotonic() - self._begin) / max(1, self.num_done) * (self.num_pairs - self.num_done)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def format_seconds(seconds: float) -> str:
    """Return hours, minutes and seconds as ``1:02:03``."""
    minutes, sec = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{sec:02d}"


def format_numbers(numbers: Mapping[str, float]) -> str:
    """Return ``name 0.6931, name 0.5000``."""
    return ", ".join(f"{key} {value:.4f}" for key, value in numbers.items())
