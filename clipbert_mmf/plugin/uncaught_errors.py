"""Ends ``mmf_run`` and ``mmf_predict`` with the sentence of an error; its traceback goes to the run's log.

Python prints an uncaught error through ``sys.excepthook``. Ours shortens the errors that tell a user what to
change, once for all processes of a launch on this machine. Errors that did not pass through MMF's command line
are left to whoever was there before.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from mmf.common.registry import registry
from mmf.utils.configuration import get_mmf_env

from clipbert_mmf.cli.main import EXPECTED_ERRORS
from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin.run_folder import may_write_into
from clipbert_mmf.training.distributed import get_rank
from clipbert_mmf.training.failure_reports import LostProcessError

#: File in the run's folder that MMF logs to, and tracebacks are added to.
LOG_NAME = "train.log"
#: Seconds that a process waits for the one that failed first to print its sentence.
_PATIENCE_SEC = 3.0
_COMMAND = os.path.join("mmf_cli", "run.py")
_STARTED = time.time()

Hook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


def install() -> None:
    """Put our hook before the one that is there, once."""
    if not isinstance(sys.excepthook, UncaughtErrors):
        sys.excepthook = UncaughtErrors(sys.excepthook)


class UncaughtErrors:
    """The hook of ``sys.excepthook``.

    Args:
        fallback: prints all other errors.
    """

    def __init__(self, fallback: Hook):
        self.fallback = fallback

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Print an error that nobody caught."""
        frames = [frame for frame in _list_frames(trace) if frame.f_code.co_filename.endswith(_COMMAND)]
        if not frames or not isinstance(error, Exception):
            self.fallback(kind, error, trace)
            return
        with contextlib.suppress(OSError, AttributeError):  # closed, or its reader left
            sys.stdout.flush()
        folder, sentence = find_folder(frames), read_sentence(error)
        is_ours = may_write_into(folder)
        log = write_traceback(folder, error) if is_ours else None
        is_told = log is not None or not is_ours or isinstance(error, (OSError, ConfigurationError))
        if sentence is None or not is_told:
            self.fallback(kind, error, trace)
        elif claim_terminal(is_first=not isinstance(error, LostProcessError)):
            command = Path(sys.argv[0]).name
            command = command if command.startswith("mmf_") else "mmf_run"
            # Not sys.stderr: the hook of torch.distributed writes "[rank1]: " before what goes there.
            terminal = sys.__stderr__ or sys.stderr
            place = f"The traceback is in {log}\n" if log else ""
            terminal.write(f"{place}{command}: {sentence}\n")
            terminal.flush()


def _list_frames(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def read_sentence(error: Exception) -> str | None:
    """Return what an error tells the user; None for a defect, whose traceback must be seen."""
    text = str(error).strip()
    if "Traceback (most recent call last)" in text:  # of a data worker, or of a process that MMF spawned
        names = "|".join(sorted(_list_names(EXPECTED_ERRORS)))
        found = re.findall(rf"^(?:\w+\.)*(?:{names}): (.*)", text, re.MULTILINE | re.DOTALL)
        return found[-1].strip() if found else None
    return text or None if isinstance(error, EXPECTED_ERRORS) else None


def _list_names(kinds: Iterable[type[BaseException]]) -> set[str]:
    """Return the names of classes and of all that are derived from them."""
    return {name for kind in kinds for name in ({kind.__name__} | _list_names(kind.__subclasses__()))}


def find_folder(frames: list[FrameType]) -> Path:
    """Return the run's folder: as MMF knows it, or as the options say where MMF has read none of them yet.

    Args:
        frames: those of MMF's command line.
    """
    if registry.get("config", no_warning=True) is None:
        for frame in frames:
            for option in getattr(frame.f_locals.get("args"), "opts", None) or ():
                name, _, value = str(option).partition("=")
                if name == "env.save_dir" and value:
                    return Path(value).expanduser()
    return Path(str(get_mmf_env(key="save_dir") or "save"))


def write_traceback(folder: Path, error: Exception) -> Path | None:
    """Add a traceback to the log in the run's folder; return its path, or None where it cannot be written."""
    path = (folder / LOG_NAME).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(
                f"process {get_rank()} ended with an error\n{''.join(traceback.format_exception(error))}"
            )
    except OSError:
        return None
    return path


def claim_terminal(is_first: bool) -> bool:
    """Return whether this process is the one of its launch on this machine that tells what went wrong.

    Args:
        is_first: False for an error that follows from another process's, which may tell its own first.
    """
    port = os.environ.get("MASTER_PORT")
    if int(os.environ.get("WORLD_SIZE") or 1) < 2 or port is None:
        return True
    # One launch: the same parent, such as torchrun or srun, and the same meeting point.
    name = f"clipbert_mmf_{os.getuid()}_{os.getppid()}_{port}"
    path, started = Path(tempfile.gettempdir()) / name, _read_start_time()
    with contextlib.suppress(OSError):
        if path.exists() and path.stat().st_mtime < started:  # of an earlier launch
            path.unlink()
    end = time.monotonic() + (0 if is_first else _PATIENCE_SEC)
    while time.monotonic() < end and not path.exists():
        time.sleep(0.05)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    except OSError:  # better twice than never
        return True
    return True


def _read_start_time() -> float:
    """Return when this process started, before any process of its launch can have failed."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        running = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - running
    except (OSError, AttributeError, ValueError, IndexError):  # another system
        return _STARTED


install()
