"""The reader process keeps its answers apart from what libraries print, and ends with its input."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

from clipbert_mmf.video.reader_process import HEADER
from tests.encoded_media import read_number

ROOT = Path(__file__).resolve().parents[2]


def send(process, message):
    data = pickle.dumps(message)
    process.stdin.write(HEADER.pack(len(data)) + data)
    process.stdin.flush()


def receive_bytes(process):
    return process.stdout.read(HEADER.unpack(process.stdout.read(HEADER.size))[0])


def receive(process):
    return pickle.loads(receive_bytes(process))


def make_request(source, **changes):
    return {"source": source, "registered": ("auto", None), "transform": shout, "num_threads": 1, **changes}


def shout(frame):
    """Print as a native library may, between the answers."""
    os.write(1, b"printed by a library\n")
    return frame.permute(2, 0, 1)


def test_a_request_is_answered_with_facts_then_frames_and_the_process_ends_with_its_input(video_file):
    process = subprocess.Popen(
        [sys.executable, "-m", "clipbert_mmf.video.reader_process", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert receive(process) == ("ready", None)
    send(process, make_request(video_file("plain.mp4")))
    kind, info = receive(process)
    assert kind == "info" and info.num_frames == 24
    send(process, np.array([0.5, 1.0]))
    kind, (shape, served) = receive(process)
    assert (kind, shape, served) == ("frames", (2, 3, 64, 128), "pyav")
    frames = np.frombuffer(receive_bytes(process), np.uint8).reshape(shape)
    assert [read_number(frame) for frame in frames] == [6, 12]
    send(process, make_request(b""))
    kind, error = receive(process)
    assert kind == "error" and "the file is empty" in str(error)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 0 and printed.count(b"printed by a library") == 2
