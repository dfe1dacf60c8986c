"""Transforms for the watchdog's tests, importable by its reader process."""

import ctypes
import os


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
