"""Ends a run after a signal with its state saved: SIGTERM, SIGUSR1 (Slurm's ``--signal``), Ctrl-C, SIGHUP.

The handler only takes a note. The loops look at it where the run is whole: after an update, between two
batches of an evaluation, and while they wait for data. All processes of a run stop at the same update; the
first one that is told writes it into the store by which they found each other.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

from torch.distributed import distributed_c10d as c10d

from clipbert_mmf.training.distributed import gather_everywhere, get_rank, get_world_size

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: Signals after which a run saves and ends.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
#: Longest wait for a batch of which a part of an update waits, or another process.
WAIT_SEC = 20.0
#: A launcher passes a signal on that its children got too; so soon after the first it is the same one.
_SAME_SEC = 1.0
_KEY = "clipbert_stop"


class RunInterrupted(BaseException):
    """The run is to end. No ``Exception``, so that reading a video does not take it for a damaged file.

    Args:
        is_whole: whether every process stopped where the run can be saved.
    """

    def __init__(self, is_whole: bool) -> None:
        super().__init__()
        self.is_whole = is_whole


class Interrupts:
    """Knows whether a signal asked the run to end.

    Attributes:
        signal_number: the signal; None before one came.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        #: Where a wait for data ends the run: None outside of one, else whether the run is whole there.
        self._wait: bool | None = None
        self._begin = 0.0
        self._store: Any = None

    @contextmanager
    def installed(self) -> Generator[None]:
        """Handle the signals in a block; a signal that the process ignores stays ignored."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread can
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        if get_world_size() > 1:
            self._store = c10d._get_default_store()  # pyright: ignore[reportPrivateUsage]  # no public way
        with self._watched():
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    @contextmanager
    def _watched(self) -> Generator[None]:
        """End the process, some time after a signal, where the handler cannot: python runs it between two calls.

        A call into a library that waits for another process may last for ever.
        """
        told, tell = socket.socketpair()
        tell.setblocking(False)
        before = signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)

        def watch() -> None:
            while data := told.recv(64):
                numbers = [number for number in data if number in SIGNALS]
                if numbers:
                    time.sleep(WAIT_SEC)
                    if self.signal_number is None:
                        os._exit(128 + numbers[0])

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            tell.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signal_number is not None:
            is_launched = get_world_size() > 1 or "TORCHELASTIC_RUN_ID" in os.environ
            if not is_launched or now - self._begin > _SAME_SEC:
                os._exit(128 + number)
            return
        self.signal_number, self._begin = number, now
        name = signal.Signals(number).name
        with contextlib.suppress(OSError):  # standard error may be closed
            os.write(2, f"{name}: the run is saved and ends; a second signal ends it at once\n".encode())
        if self._wait:
            raise RunInterrupted(is_whole=True)
        signal.signal(signal.SIGALRM, self._give_up)
        signal.setitimer(signal.ITIMER_REAL, WAIT_SEC, 1.0)

    def _give_up(self, number: int, frame: FrameType | None) -> None:
        """End a wait for data that lasts too long; anything else goes on."""
        if self._wait is not None:
            raise RunInterrupted(is_whole=False)

    @contextmanager
    def waiting(self, is_whole: bool) -> Generator[None]:
        """Wait for data in a block that a signal may end, at once where the run is whole, else after a while.

        Args:
            is_whole: whether nothing of an update is begun; with several processes, others may have begun.

        Raises:
            RunInterrupted: out of the block.
        """
        alone = is_whole and get_world_size() == 1
        self._wait = alone
        try:
            if alone and self.signal_number is not None:
                raise RunInterrupted(is_whole=True)
            yield
        finally:
            self._wait = None

    def read(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches of an evaluation until a signal ends it.

        Raises:
            RunInterrupted: between two batches, or while one is waited for.
        """
        iterator = iter(batches)
        while True:
            self.check()
            try:
                with self.waiting(is_whole=True):
                    batch = next(iterator)
            except StopIteration:
                return
            yield batch

    # ---- several processes

    def should_stop(self, num_updates: int) -> bool:
        """Return whether the run ends after this update; every process must ask after every update.

        A process is at most one update ahead of another, since they sum gradients in each. So the update
        after the next of the one that was told is one that no process has passed.
        """
        if self._store is None:
            return self.signal_number is not None
        if self.signal_number is not None:
            stop = self._post(num_updates + 1)
        elif self._is_posted():
            stop = self._store.get(_KEY).decode()
        else:
            return False
        update, number = map(int, stop.split(","))
        if self.signal_number is None:
            self.signal_number, self._begin = number, time.monotonic()
        return num_updates >= update

    def check(self) -> None:
        """Leave an evaluation where a signal came, here or to another process.

        Raises:
            RunInterrupted: for ``run_share``, which makes all processes leave it.
        """
        if self.signal_number is None and self._store is not None and self._is_posted():
            self.signal_number = int(self._store.get(_KEY).decode().split(",")[1])
            self._begin = time.monotonic()
        if self.signal_number is not None:
            raise RunInterrupted(is_whole=True)

    def run_share(self, share: Callable[[], T]) -> T:
        """Run this process's share of an evaluation; where a signal ends it on one process, it ends on all.

        Every process must call it.

        Raises:
            RunInterrupted: on every process.
        """
        result: list[T] = []
        try:
            result.append(share())
        except RunInterrupted:
            if self._store is not None:
                self._post(0)
        if not all(gather_everywhere(bool(result))):
            raise RunInterrupted(is_whole=True)
        return result[0]

    def _is_posted(self) -> bool:
        return self._store.add(f"{_KEY}/posted", 0) > 0

    def _post(self, update: int) -> str:
        """Tell the other processes, unless one was first; return what holds."""
        stop = self._store.compare_set(_KEY, "", f"{update},{self.signal_number}").decode()
        self._store.add(f"{_KEY}/posted", 1)
        return stop

    def exit(self, message: str) -> NoReturn:
        """End the process as the signal asks, with a line that says how to go on.

        Raises:
            SystemExit: 128 and the number of the signal, as a shell reports it.
        """
        assert self.signal_number is not None
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        if get_rank() == 0:
            logger.warning("%s: %s", signal.Signals(self.signal_number).name, message)
        sys.exit(128 + self.signal_number)
