"""Transforms for the watchdog's tests, importable by its reader process."""

import ctypes
import os
import signal
from pathlib import Path


def sleep_in_native_code(frame):
    """Sleep with the interpreter lock held, as a decoder that loops does: no Python thread can run."""
    ctypes.PyDLL(None).usleep(60_000_000)
    return frame


def crash_in_native_code(frame):
    """End as a segmentation fault does."""
    os.kill(os.getpid(), 11)


def keep_top_row(frame):
    """Return one row of pixels."""
    return frame[:1].permute(2, 0, 1)


def kill_this_process(frame):
    """Kill the process as the system does when memory is short, as often as a file has lines."""
    path = Path(os.environ["TOY_KILLS"])
    kills = path.read_text().splitlines()
    if kills:
        path.write_text("\n".join(kills[1:]))
        os.kill(os.getpid(), signal.SIGKILL)
    return keep_top_row(frame)
