"""The other end of ``watchdog``: reads requests from stdin, writes frames to stdout, ends with its parent."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import struct
import sys
import threading
import time
from typing import Any, BinaryIO

_HEADER = struct.Struct("<Q")


def main(parent: int) -> None:
    """Serve requests until stdin ends.

    Args:
        parent: process to end with.
    """
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a native library prints must not end up between the answers.
    os.dup2(2, 1)
    _end_with(parent)
    import torch

    from clipbert_mmf.video.decode import read_frames
    from clipbert_mmf.video.errors import MediaError

    torch.set_num_threads(1)
    _write(answers, ("ready", None))
    while (request := _read(requests)) is not None:

        def choose_times(info):
            _write(answers, ("info", info))
            return _read(requests)

        served: list[str] = []
        try:
            frames = read_frames(
                request.pop("source"), choose_times, on_served=served.append, **request
            ).contiguous()
        except MediaError as error:
            _write(answers, ("error", error))
            continue
        except Exception as error:  # a fault of the caller, such as a wrong backend: raised there
            _write(answers, ("error", _portable(error)))
            continue
        _write(answers, ("frames", (tuple(frames.shape), served[0])))
        answers.write(_HEADER.pack(frames.numel()))
        answers.write(frames.numpy().data)
        answers.flush()


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _end_with(parent: int) -> None:
    """Die when the parent is killed, even while a decoder holds the interpreter lock (Linux), or soon after."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _write(stream: BinaryIO, message: Any) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_HEADER.pack(len(data)) + data)
    stream.flush()


def _read(stream: BinaryIO) -> Any:
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    return pickle.loads(stream.read(_HEADER.unpack(header)[0]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
