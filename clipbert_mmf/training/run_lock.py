"""Lets one training at a time write into a run's folder.

The system's lock on a file decides, so that a killed process leaves nothing that blocks. The file says who
holds it. On a file system without locks, that process is looked for.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.writing import naming

try:
    import fcntl
except ImportError:  # a system without POSIX locks
    fcntl = None

FILE_NAME = "run.lock"
#: Errors of a file system, or of a server, that has no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
#: Locks of this process by folder; the system would grant a process its own lock twice.
_held: dict[Path, RunLock] = {}


class RunLock:
    """A held lock.

    Args:
        path: the lock file.
        file: its descriptor, which holds the lock while it is open.
    """

    def __init__(self, path: Path, file: int) -> None:
        self.path, self.file = path, file

    def release(self) -> None:
        """Remove the file, then give the lock up; a second call does nothing."""
        if _held.get(self.path) is not self:
            return
        del _held[self.path]
        self.path.unlink(missing_ok=True)
        os.close(self.file)


def explain_run(folder: Path, who: str) -> str:
    """Return the message for a run's folder that another process holds."""
    return f"env.save_dir={folder} is in use: {who}, trains in it. Wait for it or end it, or set another env.save_dir"


def acquire_lock(folder: Path, explain: Callable[[Path, str], str] = explain_run) -> RunLock:
    """Lock a folder for this process; the folder is made if missing.

    A process that has the lock already gets it again.

    Args:
        folder: of a run, or of something else that one process at a time writes.
        explain: message for a folder and a description of the process that holds it.

    Raises:
        ConfigurationError: if another process trains in it; names that process.
    """
    path = folder.resolve() / FILE_NAME
    held = _held.get(path)
    if held is not None:
        return held
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(file, path, explain)
        except BaseException:
            os.close(file)
            raise
        if _is_at(file, path):
            break
        os.close(file)  # its holder removed it in between
    with naming(path):
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(_describe_self()).encode(), 0)
    lock = _held[path] = RunLock(path, file)
    return lock


def release_lock(folder: Path) -> None:
    """Give this process's lock on a folder up, if it has one."""
    held = _held.get(folder.resolve() / FILE_NAME)
    if held is not None:
        held.release()


def _take(file: int, path: Path, explain: Callable[[Path, str], str]) -> None:
    holder = _read_holder(file)
    try:
        if fcntl is None:
            raise OSError(errno.ENOLCK, "no locks")
        # Not flock: a data worker would inherit that one, and keep it when this process is killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise ConfigurationError(explain(path.parent, _describe(holder))) from error
        if error.errno not in _NO_LOCKS:
            raise
        if holder and _may_run(holder):
            raise ConfigurationError(
                f"{explain(path.parent, _describe(holder))}. This file system has no locks: if that "
                f"process is gone, remove {path}"
            ) from error


def _describe(holder: dict[str, Any]) -> str:
    if not holder:
        return "another process"
    return f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"


def _read_holder(file: int) -> dict[str, Any]:
    try:
        holder: Any = json.loads(os.pread(file, 4096, 0).decode())
    except ValueError:  # new, or cut off
        return {}
    return cast(dict[str, Any], holder) if isinstance(holder, dict) else {}


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _describe_self() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "begun": _find_begin(os.getpid()),
    }


def _may_run(holder: dict[str, Any]) -> bool:
    """Return whether a process may still be there; of one on another machine nobody knows."""
    if holder.get("host") != socket.gethostname():
        return True
    pid = int(holder.get("pid") or 0)
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    begun = holder.get("begun")
    return begun is None or begun == _find_begin(pid)


def _find_begin(pid: int) -> str | None:
    """Return the system's time at which a process began: numbers of processes are given again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
