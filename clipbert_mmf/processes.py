"""Ends processes with the one that started them; lets their idle threads sleep; starts them without collections."""

from __future__ import annotations

import atexit
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

#: Signals that a terminal, Slurm or ``timeout`` sends to every process of a run; one of them decides.
SHARED_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
_PR_SET_PDEATHSIG = 1
#: How threads of OpenMP wait for work: the standard's name, and that of Intel's and LLVM's library.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
#: GNU's name for the same; whoever sets one of these has chosen.
_CHOSEN_BY = (*_WAITING, "GOMP_SPINCOUNT")
_GPU_DEVICES = ("nvidia[0-9]*", "kfd")


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def let_idle_threads_sleep(
    environment: MutableMapping[str, str] | None = None, devices: Path = Path("/dev")
) -> None:
    """Let threads that wait for work sleep, where a CPU computes and the user has not chosen.

    Threads that spin take the cores from each other as soon as a machine has more threads than cores: then an
    evaluation takes eight times as long. OpenMP reads the environment when PyTorch is imported, so this comes
    before.

    Args:
        environment: the process's; None for this one's.
        devices: folder of the system's devices, which tells whether there is a GPU.
    """
    environment = os.environ if environment is None else environment
    has_gpu = any(True for name in _GPU_DEVICES for _ in devices.glob(name))
    if not has_gpu and "torch" not in sys.modules and not any(name in environment for name in _CHOSEN_BY):
        environment.update(_WAITING)


@contextmanager
def pause_garbage_collection() -> Generator[None, None, None]:
    """Collect no garbage for a while, for imports.

    They make a million objects that stay; looking through them again and again is a sixth of the time. Later
    collections leave them out.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()


@atexit.register
def _kill_children() -> None:
    """End workers that are left; ``multiprocessing`` asks them with a signal that they ignore, and waits for them."""
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
