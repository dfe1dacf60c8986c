"""Prepares the standard streams of a command, and names the one that a result cannot be written to."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

#: Exit code of a command whose reader left, as a shell reports SIGPIPE.
PIPE_CLOSED = 141


class StreamError(OSError):
    """Standard output does not take the result."""


def open_closed_streams() -> bool:
    """Open closed standard streams on the null device; return whether standard output was open.

    The first files that are opened would take their numbers otherwise, and get what is printed.
    """
    closed: list[int] = []
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            closed.append(number)
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  for the rest of the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return 1 not in closed


def write_output(text: str) -> None:
    """Write to standard output, at once; letters that its encoding lacks are written out.

    Raises:
        BrokenPipeError: if the reader left.
        StreamError: if it takes no more, as on a full disk.
    """
    stream = sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(stream)
        raise StreamError(f"standard output could not be written: {error.strerror or error}") from error


def knows_all_letters(stream: TextIO) -> bool:
    """Return whether a stream can show any letter."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def silence(stream: TextIO) -> None:
    """Send what is left in a stream to the null device: Python would report it when the process ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
