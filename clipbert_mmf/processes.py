"""Ends processes with the one that started them."""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import signal
import sys

#: Signals that a terminal, Slurm or ``timeout`` sends to every process of a run; one of them decides.
SHARED_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Let the system send this process a signal when its parent ends, however that ends (Linux).

    Args:
        parent: id of the parent, which may have ended already.
        number: the signal.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def leave_signals_to(parent: int) -> None:
    """Make this process one that only its parent ends: shared signals are the parent's matter."""
    for name in SHARED_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with_parent(parent)


@atexit.register
def _kill_children() -> None:
    """End workers that are left; ``multiprocessing`` asks them with a signal that they ignore, and waits for them."""
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
