"""Serves ``watchdog`` from a process of its own: reads requests from stdin, writes frames to stdout.

The process ends with its parent. ``watchdog`` says why the two talk over pipes.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from clipbert_mmf.processes import leave_signals_to

if TYPE_CHECKING:
    from clipbert_mmf.video.arrays import Times
    from clipbert_mmf.video.decode import VideoInfo

#: Length of the message that follows.
HEADER = struct.Struct("<Q")


def main(parent: int) -> None:
    """Serve requests until stdin ends.

    Args:
        parent: process to end with.
    """
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Output of a native library must not end up between the answers.
    os.dup2(2, 1)
    _end_with(parent)
    # After the line above: what these print while they are imported would be read as an answer.
    import torch

    from clipbert_mmf.video.decode import read_frames, register_backend
    from clipbert_mmf.video.errors import MediaError

    torch.set_num_threads(1)
    _write(answers, ("ready", None))
    while (request := _read(requests)) is not None:

        def choose_times(info: VideoInfo) -> Times:
            _write(answers, ("info", info))
            return _read(requests)

        served: list[str] = []
        try:
            name, read = request.pop("registered")
            if read is not None:
                register_backend(name, read)
            frames = read_frames(
                request.pop("source"), choose_times, backend=name, on_served=served.append, **request
            ).contiguous()
        except MediaError as error:
            _write(answers, ("error", error))
            continue
        except Exception as error:  # a fault of the caller, such as a wrong backend: raised there
            _write(answers, ("error", _portable(error)))
            continue
        _write(answers, ("frames", (tuple(frames.shape), served[0])))
        answers.write(HEADER.pack(frames.numel()))
        answers.write(frames.numpy().data)
        answers.flush()


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # anything may go wrong in a foreign class that cannot be pickled
        return RuntimeError(f"{type(error).__name__}: {error}")


def _end_with(parent: int) -> None:
    """Die when the parent is killed, even while a decoder holds the interpreter lock (Linux), or soon after."""
    leave_signals_to(parent)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _write(stream: BinaryIO, message: Any) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()


def _read(stream: BinaryIO) -> Any:
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    return pickle.loads(stream.read(HEADER.unpack(header)[0]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
