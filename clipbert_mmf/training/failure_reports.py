"""Tells the other processes why one fails, so that they do not end with "connection closed by peer".

Wraps loading, training and evaluation. The reason travels through the store by which the
processes found each other, so it needs no process that still answers, and costs nothing while all goes well.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from torch import distributed as dist
from torch.distributed import distributed_c10d as c10d

from clipbert_mmf.training.distributed import get_rank, get_world_size

logger = logging.getLogger(__name__)

_KEY = "clipbert_failure"
#: Seconds to wait for the reason of a process that is just failing, and for the others' word.
_PATIENCE_SEC = 5.0
#: Longest reason that is passed on; the whole of it is in that process's own log.
_MAX_CHARACTERS = 2000


class LostProcessError(RuntimeError):
    """Raised in a process that lost others; the error that began it is theirs."""


def is_lost_connection(error: BaseException) -> bool:
    """Return whether an error means that another process is gone or silent, not that this one did wrong."""
    if isinstance(error, getattr(dist, "DistError", ())):
        return True
    # gloo raises plain RuntimeErrors; they name the file they come from.
    return isinstance(error, RuntimeError) and "gloo" in str(error).lower()


@contextmanager
def report_failures(where: Callable[[], str]) -> Generator[None]:
    """Run a block in which processes depend on each other, and report its failure to them.

    Args:
        where: returns the place in the run ("update 12, epoch 2").

    Raises:
        LostProcessError: in a process that lost others, with the reason they left or the numbers of those that
            are silent.
        Exception: what the block raised, in the process where it went wrong.
    """
    try:
        yield
    except Exception as error:
        if get_world_size() == 1:
            raise
        lost = is_lost_connection(error)
        notes = _Notes()
        notes.post(lost, f"{where()}: {type(error).__name__}: {error}")
        if not lost:
            raise
        raise LostProcessError(_explain(notes, where(), error)) from error


def _explain(notes: _Notes, where: str, error: BaseException) -> str:
    rank, world_size = get_rank(), get_world_size()
    others = [other for other in range(world_size) if other != rank]
    heard = notes.wait(others)
    text = f"process {rank} of {world_size} stops at {where}, because "
    reasons = [
        f"process {other} failed at {note['text']}" for other, note in heard.items() if not note["lost"]
    ]
    if reasons:
        return text + "; ".join(reasons)
    silent = [other for other in others if other not in heard]
    names = ", ".join(map(str, silent)) or "another one"
    stuck = "timed out" in str(error).lower() or "timeout" in str(error).lower()
    if stuck:
        text += (
            f"process {names} did not come to the same place within distributed.timeout_sec: it is stuck, "
            f"for example "
            "in reading (training.worker_timeout_sec limits that), or needs longer"
        )
    else:
        text += f"process {names} is gone without a word: killed (out of memory?), or its machine failed"
    return f"{text}. torch says: {str(error).splitlines()[0][:300]}"


class _Notes:
    """Holds the reasons that failing processes leave for the others.

    Nothing here may fail in turn, the first error is what counts.
    """

    def __init__(self) -> None:
        try:
            self.store: Any = c10d._get_default_store()  # pyright: ignore[reportPrivateUsage]  # no public way
            self.store.set_timeout(timedelta(seconds=_PATIENCE_SEC))
        except Exception as error:
            logger.debug("no store: %s", error)
            self.store = None

    def post(self, lost: bool, text: str) -> None:
        """Leave the reason of this process."""
        if self.store is None:
            return
        try:
            self.store.set(f"{_KEY}/{get_rank()}", json.dumps({"lost": lost, "text": text[:_MAX_CHARACTERS]}))
        except Exception as error:  # the store's process is gone
            logger.debug("could not leave a reason: %s", error)
            self.store = None

    def wait(self, ranks: list[int]) -> dict[int, dict[str, Any]]:
        """Return what the others left, as soon as one tells a reason or all have spoken."""
        heard: dict[int, dict[str, Any]] = {}
        end = time.monotonic() + _PATIENCE_SEC
        while self.store is not None and time.monotonic() < end:
            for rank in ranks:
                if rank not in heard and self._has(rank):
                    heard[rank] = json.loads(self.store.get(f"{_KEY}/{rank}"))
            if len(heard) == len(ranks) or any(not note["lost"] for note in heard.values()):
                break
            time.sleep(0.1)
        return heard

    def _has(self, rank: int) -> bool:
        key = f"{_KEY}/{rank}"
        try:
            if hasattr(self.store, "check"):
                return self.store.check([key])
            self.store.wait([key], timedelta(milliseconds=100))  # PyTorch before 2.3
            return True
        except Exception as error:
            if not hasattr(self.store, "check") and "timeout" in str(error).lower():
                return False
            logger.debug("the store does not answer: %s", error)
            self.store = None
            return False
