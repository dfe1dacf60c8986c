"""Reads videos in a process of its own, which is ended when it hangs or crashes.

A decoder can loop in native code with the interpreter lock held; no timeout inside that process can help. The
reader process costs one start per worker and one copy of the finished frames per video, and can die without
harm.

The two talk over plain pipes and not over ``multiprocessing.connection``, which copies what it receives twice
(55 ms in place of 11 ms for 16 frames of 448 x 448) and has no limit for sending, nor for the rest of a
message that has begun.
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import select
import signal
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

from clipbert_mmf.video.arrays import Times
from clipbert_mmf.video.decode import BACKENDS, VideoInfo
from clipbert_mmf.video.errors import MAX_MEGAPIXELS, DecodeError, MediaError, ReaderTimeoutError
from clipbert_mmf.video.reader_process import HEADER

logger = logging.getLogger(__name__)

#: Starting Python and importing torch, on a busy machine; the timeout of a video counts after that.
_START_SEC = 120.0
#: Memory that reading one medium may take, where nothing else is said.
MEMORY_MIB = 2048


class _KilledError(Exception):
    """The reader process was killed from outside."""


class ReaderStartError(RuntimeError):
    """The reader process did not start; no fault of a medium."""


class GuardedReader:
    """Reads videos like ``decode.read_frames``, each within a time limit.

    The process starts at the first read, and anew in another process that uses the reader (after a fork or
    pickling) or after it had to be ended.

    Args:
        timeout_sec: longest time without an answer, per video, before the reader process is ended.
        memory_mib: memory that reading may take, beside that of the libraries; None sets no limit.

    Raises:
        ValueError: for a time that is not above 0.
    """

    def __init__(self, timeout_sec: float, memory_mib: int | None = MEMORY_MIB):
        self.memory_mib = memory_mib
        if not timeout_sec > 0:
            raise ValueError(f"timeout_sec is {timeout_sec}; expected seconds above 0")
        self.timeout_sec = timeout_sec
        self._process: _ReaderProcess | None = None

    def read_frames(
        self,
        source: bytes | Path,
        choose_times: Times | Callable[[VideoInfo], Times],
        *,
        backend: str = "auto",
        key: str = "",
        store: str = "",
        transform: Callable[[Tensor], Tensor] | None = None,
        num_threads: int = 1,
        on_served: Callable[[str], None] | None = None,
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> Tensor:
        """Decode frames; see ``decode.read_frames`` for the arguments.

        ``choose_times`` is called in this process, so that its generator advances here; ``transform`` and a
        registered backend must be importable by the reader process.

        Raises:
            ReaderTimeoutError: if the reader process gave no answer in time; it is ended.
            DecodeError: if the reader process crashed.
            MediaError: as ``decode.read_frames``.
        """
        shown = key or (str(source) if isinstance(source, Path) else "")
        request = {
            "source": source,
            "registered": (backend, BACKENDS.get(backend)),
            "key": shown,
            "store": store,
            "transform": transform,
            "num_threads": num_threads,
            "max_megapixels": max_megapixels,
        }
        frames, served = self._ask(request, choose_times, shown, store)
        if on_served:
            on_served(served)
        return frames

    def read_image(
        self,
        source: bytes | Path,
        *,
        key: str = "",
        store: str = "",
        longest_side: int | None = None,
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> Tensor:
        """Decode an image; see ``images.read_image`` for the arguments, and ``read_frames`` for further errors."""
        shown = key or (str(source) if isinstance(source, Path) else "")
        request = {
            "is_image": True,
            "source": source,
            "key": shown,
            "store": store,
            "longest_side": longest_side,
            "max_megapixels": max_megapixels,
        }
        return self._ask(request, np.zeros(0), shown, store)[0].permute(2, 0, 1)

    def _ask(
        self,
        request: dict[str, Any],
        choose_times: Times | Callable[[VideoInfo], Times],
        shown: str,
        store: str,
    ) -> tuple[Tensor, str]:
        """Return what the reader process answers: the frames, and which backend served them.

        A process that was killed, as by the system when memory is short, says nothing about the medium: it is asked
        once more, for the same times.
        """
        chosen: list[Times] = []

        def choose(info: VideoInfo) -> Times:
            if not chosen:
                times = choose_times(info) if callable(choose_times) else choose_times
                chosen.append(np.asarray(times, dtype=np.float64))
            return chosen[0]

        try:
            return self._ask_once(request, choose, shown, store)
        except _KilledError:
            logger.warning(
                "%s: the process that read it was killed; it is read once more", shown or "a medium"
            )
        try:
            return self._ask_once(request, choose, shown, store)
        except _KilledError as error:
            reason = "the process that reads it was killed twice; is memory short?"
            raise DecodeError(reason, shown, store) from error

    def _ask_once(
        self, request: dict[str, Any], choose_times: Callable[[VideoInfo], Times], shown: str, store: str
    ) -> tuple[Tensor, str]:
        process = self._start()
        deadline = time.monotonic() + self.timeout_sec
        try:
            process.send(request, deadline)
            kind, value = process.receive(deadline)
            refusal: MediaError | None = None
            if kind == "info":
                times: Any = None
                try:
                    times = choose_times(value)
                except MediaError as error:
                    # The reader is told too: it waits for times, takes None for an error, and goes on with
                    # the next video.
                    refusal = type(error)(error.reason, shown, store)
                process.send(times, deadline)
                kind, value = process.receive(deadline)
            data = process.receive_bytes(deadline) if kind == "frames" else bytearray()
        except TimeoutError:
            self.close()
            raise ReaderTimeoutError(
                f"no answer within {self.timeout_sec:g} s; reader ended", shown, store
            ) from None
        except (EOFError, BrokenPipeError) as error:
            code = process.wait()
            self.close()
            if code == -signal.SIGKILL:
                raise _KilledError from error
            raise DecodeError(f"the reader process crashed (exit code {code})", shown, store) from error
        except BaseException:
            # Half an exchange is left in the pipes.
            self.close()
            raise
        if refusal is not None:
            raise refusal
        if kind == "error":
            raise value
        shape, served = value
        return torch.frombuffer(data, dtype=torch.uint8).reshape(shape), served

    def close(self) -> None:
        """End the reader process."""
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _start(self) -> _ReaderProcess:
        if self._process is not None and self._process.is_usable:
            return self._process
        self.close()
        process = self._process = _ReaderProcess(self.memory_mib)
        _LIVE.add(self)
        try:
            process.receive(time.monotonic() + _START_SEC)
        except (TimeoutError, EOFError) as error:
            self.close()
            raise ReaderStartError(f"the reader process did not start: {process.command}") from error
        return process

    def __getstate__(self) -> dict[str, Any]:
        return {"timeout_sec": self.timeout_sec, "memory_mib": self.memory_mib, "_process": None}

    def __del__(self) -> None:
        # Not there where the constructor refused its argument.
        if "_process" in self.__dict__:
            self.close()


class _ReaderProcess:
    """A running reader process: messages to and from it, each within a deadline of ``time.monotonic``."""

    def __init__(self, memory_mib: int | None) -> None:
        words = [str(os.getpid()), str(memory_mib or 0)]
        self.command = [sys.executable, "-m", "clipbert_mmf.video.reader_process", *words]
        self._owner = os.getpid()
        # A plain subprocess: a DataLoader's workers are daemons, which multiprocessing forbids to have
        # children.
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": _list_import_folders()},
            bufsize=0,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._pipes = (self._process.stdin, self._process.stdout)
        self._requests, self._answers = (pipe.fileno() for pipe in self._pipes)
        os.set_blocking(self._requests, False)

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """True while it runs, in the process that started it; a fork of that process starts its own."""
        return self._owner == os.getpid() and self._process.poll() is None

    def wait(self) -> int:
        """Return the exit code, after the process ended."""
        return self._process.wait()

    def close(self) -> None:
        """End the process; a process that inherited it through a fork leaves it alone."""
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
            for pipe in self._pipes:
                pipe.close()

    def send(self, message: Any, deadline: float) -> None:
        """Send a message.

        Raises:
            TimeoutError: if it was not taken in time.
        """
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        left = memoryview(HEADER.pack(len(data)) + data)
        while left:
            # A reader that hangs also stops reading: writing needs the limit as well.
            if not select.select([], [self._requests], [], max(0.0, deadline - time.monotonic()))[1]:
                raise TimeoutError
            left = left[os.write(self._requests, left[: 1 << 16]) :]

    def receive(self, deadline: float) -> tuple[str, Any]:
        """Return kind and content of the next message.

        Raises:
            TimeoutError: if it did not arrive in time.
            EOFError: if the process ended.
        """
        return pickle.loads(self.receive_bytes(deadline))

    def receive_bytes(self, deadline: float) -> bytearray:
        """Return the bytes of the next message; see ``receive`` for the errors."""
        (size,) = HEADER.unpack(self._read_exactly(HEADER.size, deadline))
        return self._read_exactly(size, deadline)

    def _read_exactly(self, size: int, deadline: float) -> bytearray:
        data = bytearray(size)
        view, num_filled = memoryview(data), 0
        while num_filled < size:
            if not select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            count = os.readv(self._answers, [view[num_filled:]])
            if not count:
                raise EOFError
            num_filled += count
        return data


def _list_import_folders() -> str:
    """Return the import path of this process and the folders of registered backends, which MMF takes off it again."""
    folders = [path for path in sys.path if path]
    for name in {read.__module__.partition(".")[0] for read in BACKENDS.values()}:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file:
            folder = Path(file).parent
            folders.append(str(folder.parent if Path(file).name == "__init__.py" else folder))
    return os.pathsep.join(dict.fromkeys(folders))


_LIVE: weakref.WeakSet[GuardedReader] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for reader in list(_LIVE):
        reader.close()
