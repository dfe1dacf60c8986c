"""Ends a run after a signal with its state saved: SIGTERM, SIGUSR1 (Slurm's ``--signal``), Ctrl-C, SIGHUP.

The handler only takes a note. The loops look at it where the run is whole: after an update, between two
batches of an evaluation, and while they wait for data. All processes of a run stop after the same update: they
exchange a number after each, over the connections that sum the gradients. The store by which they found each
other would not do, since it ends with torchrun's agent.
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
from typing import NoReturn, TypeVar

import torch

from clipbert_mmf.training.distributed import gather_everywhere, get_rank, get_world_size, max_over_processes

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

    def should_stop(self, device: torch.device) -> bool:
        """Return whether the run ends after this update; every process must ask after every update.

        Args:
            device: this process's, for the exchange with the others.
        """
        number = max_over_processes(self.signal_number or 0, device)
        if number and self.signal_number is None:
            self.signal_number, self._begin = number, time.monotonic()
        return number > 0

    def check(self) -> None:
        """Leave an evaluation where a signal came.

        Raises:
            RunInterrupted: for ``run_share``, which makes all processes leave it.
        """
        if self.signal_number is not None:
            raise RunInterrupted(is_whole=True)

    def run_share(self, share: Callable[[], T]) -> T:
        """Run this process's share of an evaluation; where a signal ends it on one process, it ends on all.

        Every process must call it.

        Raises:
            RunInterrupted: on every process.
        """
        result: list[T] = []
        with contextlib.suppress(RunInterrupted):
            result.append(share())
        ended = [number for number in gather_everywhere(0 if result else self.signal_number) if number]
        if ended:
            self.signal_number = self.signal_number or ended[0]
            raise RunInterrupted(is_whole=True)
        return result[0]

    def announce(self, message: str) -> None:
        """Write the last line of the run."""
        assert self.signal_number is not None
        if get_rank() == 0:
            logger.warning("%s: %s", signal.Signals(self.signal_number).name, message)

    def exit(self) -> NoReturn:
        """End the process as the signal asks.

        Raises:
            SystemExit: 128 and the number of the signal, as a shell reports it.
        """
        assert self.signal_number is not None
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        sys.exit(128 + self.signal_number)
