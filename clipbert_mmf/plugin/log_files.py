"""Names a log that cannot be written, once and in one line; ``logging`` would print a traceback for each message."""

from __future__ import annotations

import contextlib
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

from clipbert_mmf.writing import explain_write_error

_TOLD = "clipbert_told"


def name_log_failures() -> None:
    """Let every handler that writes to a stream or a file tell its failures in one line; a run goes on without it."""
    for name in ("", *logging.root.manager.loggerDict):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler) and not hasattr(handler, _TOLD):
                setattr(handler, _TOLD, False)
                handler.handleError = partial(_tell, handler, handler.handleError)


def _tell(handler: Any, fallback: Any, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
        fallback(record)
    elif not getattr(handler, _TOLD):
        setattr(handler, _TOLD, True)
        place = getattr(handler, "baseFilename", None) or getattr(handler.stream, "name", "")
        reason = error.strerror or str(error)
        is_file = isinstance(place, str) and place and not place.startswith("<")
        message = (
            explain_write_error(Path(place), reason) if is_file else f"the output is not written: {reason}"
        )
        with contextlib.suppress(OSError, ValueError):
            (sys.__stderr__ or sys.stderr).write(f"{message}; the run goes on without it\n")
