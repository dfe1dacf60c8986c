"""``read_frames`` in a process of its own, which is ended when it hangs or crashes.

A decoder can loop in native code with the interpreter lock held; no timeout inside that process can help. The reader
process costs one start per worker and one copy of the finished frames per video, and can die without harm.
"""

from __future__ import annotations

import atexit
import os
import pickle
import select
import struct
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.video.errors import DecodeError, ReaderTimeoutError

_HEADER = struct.Struct("<Q")
#: Starting Python and importing torch, on a busy machine; the timeout of a video counts after that.
_START_SEC = 120.0


class GuardedReader:
    """Reads videos like ``decode.read_frames``, each within a time limit.

    The process starts at the first read, and anew in another process that uses the reader (after a fork or pickling)
    or after it had to be ended.

    Args:
        timeout_sec: longest time without an answer, per video, before the reader process is ended.
    """

    _process: subprocess.Popen | None = None
    _owner = -1

    def __init__(self, timeout_sec: float):
        if not timeout_sec > 0:
            raise ValueError(f"timeout_sec is {timeout_sec}; expected seconds above 0")
        self.timeout_sec = timeout_sec

    def read_frames(
        self,
        source: bytes | Path,
        choose_times: np.ndarray | Callable[..., np.ndarray],
        *,
        key: str = "",
        store: str = "",
        on_served: Callable[[str], None] | None = None,
        **options: Any,
    ) -> Tensor:
        """Decode frames; see ``decode.read_frames`` for the arguments.

        ``choose_times`` is called in this process, so that its generator advances here; ``transform`` must be
        importable by the reader process.

        Raises:
            ReaderTimeoutError: if the reader process gave no answer in time; it is ended.
            DecodeError: if the reader process crashed.
            MediaError: as ``decode.read_frames``.
        """
        shown = key or ("" if isinstance(source, (bytes, bytearray, memoryview)) else str(source))
        self._start()
        deadline = time.monotonic() + self.timeout_sec
        try:
            self._send({"source": source, "key": shown, "store": store, **options}, deadline)
            while True:
                kind, value = self._receive(deadline)
                if kind == "info":
                    times = choose_times(value) if callable(choose_times) else choose_times
                    self._send(np.asarray(times, dtype=np.float64), deadline)
                elif kind == "error":
                    break
                else:
                    (shape, backend), data = value
                    if on_served:
                        on_served(backend)
                    return torch.frombuffer(data, dtype=torch.uint8).reshape(shape)
        except TimeoutError:
            self.close()
            raise ReaderTimeoutError(
                f"no answer within {self.timeout_sec:g} s; reader ended", shown, store
            ) from None
        except (EOFError, BrokenPipeError) as error:
            code = self._process.wait() if self._process else "?"
            self.close()
            raise DecodeError(f"the reader process crashed (exit code {code})", shown, store) from error
        except BaseException:
            # Half an exchange is left in the pipes.
            self.close()
            raise
        raise value

    def close(self) -> None:
        """End the reader process."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def _start(self) -> None:
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return
        self.close()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-m", "clipbert_mmf.video.reader_process", str(os.getpid())]
        # A plain subprocess: a DataLoader's workers are daemons, which multiprocessing forbids to have children.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
        )
        self._owner = os.getpid()
        os.set_blocking(self._process.stdin.fileno(), False)
        _LIVE.add(self)
        try:
            self._receive(time.monotonic() + _START_SEC)
        except (TimeoutError, EOFError) as error:
            self.close()
            raise RuntimeError(f"the reader process did not start: {command}") from error

    def _send(self, message: Any, deadline: float) -> None:
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        left = memoryview(_HEADER.pack(len(data)) + data)
        while left:
            # A reader that hangs also stops reading: writing needs the limit as well.
            if not select.select([], [self._process.stdin], [], max(0.0, deadline - time.monotonic()))[1]:
                raise TimeoutError
            left = left[os.write(self._process.stdin.fileno(), left[: 1 << 16]) :]

    def _receive(self, deadline: float) -> tuple[str, Any]:
        (size,) = _HEADER.unpack(self._read_exactly(_HEADER.size, deadline))
        kind, value = pickle.loads(self._read_exactly(size, deadline))
        if kind == "frames":
            (size,) = _HEADER.unpack(self._read_exactly(_HEADER.size, deadline))
            return kind, (value, self._read_exactly(size, deadline))
        return kind, value

    def _read_exactly(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            if not select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            count = self._process.stdout.readinto(view[filled:])
            if not count:
                raise EOFError
            filled += count
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {"timeout_sec": self.timeout_sec}

    def __del__(self) -> None:
        self.close()


_LIVE: weakref.WeakSet[GuardedReader] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for reader in list(_LIVE):
        reader.close()
