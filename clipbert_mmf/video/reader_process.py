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
    from torch import Tensor

    from clipbert_mmf.video.arrays import Times
    from clipbert_mmf.video.decode import VideoInfo

#: Length of the message that follows.
HEADER = struct.Struct("<Q")


def main(parent: int, memory_mib: int = 0) -> None:
    """Serve requests until stdin ends.

    Args:
        parent: process to end with.
        memory_mib: memory that reading may take beside that of the libraries; 0 sets no limit.
    """
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Output of a native library must not end up between the answers.
    os.dup2(2, 1)
    _end_with(parent)
    # After the line above: what these print while they are imported would be read as an answer.
    import torch

    from clipbert_mmf.video.decode import read_frames, register_backend
    from clipbert_mmf.video.errors import DecodeError, MediaError
    from clipbert_mmf.video.images import read_image

    torch.set_num_threads(1)
    if memory_mib:
        _limit_memory(memory_mib)
    _write(answers, ("ready", None))
    while (request := _read(requests)) is not None:

        def choose_times(info: VideoInfo) -> Times:
            _write(answers, ("info", info))
            return _read(requests)

        served: list[str] = []
        try:
            if request.pop("is_image", False):
                image = read_image(request.pop("source"), **request)
                _write_frames(answers, image.permute(1, 2, 0).contiguous(), "")
                continue
            name, read = request.pop("registered")
            if read is not None:
                register_backend(name, read)
            frames = read_frames(
                request.pop("source"), choose_times, backend=name, on_served=served.append, **request
            ).contiguous()
        except MediaError as error:
            _write(answers, ("error", error))
            continue
        except MemoryError:
            reason = f"reading it takes more than {memory_mib} MiB of memory (reader_memory_mib)"
            _write(answers, ("error", DecodeError(reason, request.get("key", ""), request.get("store", ""))))
            continue
        except Exception as error:  # a fault of the caller, such as a wrong backend: raised there
            _write(answers, ("error", _portable(error)))
            continue
        _write_frames(answers, frames, served[0])


def _write_frames(answers: BinaryIO, frames: Tensor, served: str) -> None:
    _write(answers, ("frames", (tuple(frames.shape), served)))
    answers.write(HEADER.pack(frames.numel()))
    answers.write(frames.numpy().data)
    answers.flush()


def _limit_memory(memory_mib: int) -> None:
    """Let allocations fail beyond a limit; where the system knows none, nothing is limited."""
    try:
        import resource

        with open("/proc/self/status", encoding="ascii") as status:
            used = next(int(line.split()[1]) for line in status if line.startswith("VmData:")) << 10
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = used + (memory_mib << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))
    except (ImportError, OSError, ValueError, StopIteration):
        return


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
    main(*map(int, sys.argv[1:]))
