"""A reader that hangs or crashes in native code costs one video, not the run."""

import multiprocessing
import os
import pickle
import signal
import time

import numpy as np
import pytest
import torch

from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.errors import DecodeError, NoVideoStreamError, OutsideVideoError, ReaderTimeoutError
from clipbert_mmf.video.sampling import ClipChooser
from clipbert_mmf.video.watchdog import GuardedReader
from tests.encoded_media import read_number, write_audio
from tests.video.native_sleep import (
    crash_in_native_code,
    keep_top_row,
    kill_this_process,
    sleep_in_native_code,
)

TIMES = np.array([[0.0, 1.0]])


@pytest.fixture(scope="module")
def reader():
    reader = GuardedReader(timeout_sec=20)
    yield reader
    reader.close()


def test_a_guarded_reader_gives_the_same_frames(reader, video_file):
    path = video_file("b_frames.mp4")
    for source in (path, path.read_bytes()):
        assert torch.equal(reader.read_frames(source, TIMES), read_frames(path, TIMES))
    assert reader.read_frames(path, TIMES, transform=keep_top_row).shape == (1, 2, 3, 1, 128)


def test_the_backend_that_served_is_told(reader, video_file):
    served = []
    reader.read_frames(video_file("animated.gif"), TIMES, on_served=served.append)
    assert served == ["pyav"]


def test_times_are_chosen_on_the_callers_side(reader, video_file):
    seen = []
    frames = reader.read_frames(video_file("plain.mp4"), lambda info: (seen.append(info), np.array([0.5]))[1])
    assert read_number(frames[0]) == 6 and seen[0].num_frames == 24


def test_errors_come_through_and_the_reader_goes_on(reader, video_file, tmp_path):
    process = reader._process
    with pytest.raises(NoVideoStreamError, match="'song' in /data: no video stream"):
        reader.read_frames(write_audio(tmp_path / "a.mp4"), TIMES, key="song", store="/data")
    assert reader.read_frames(video_file("plain.mp4"), TIMES).shape[0] == 1
    assert reader._process is process


def test_a_part_outside_the_video_costs_no_new_reader(reader, video_file):
    reader.read_frames(video_file("plain.mp4"), TIMES)
    pid = reader._process.pid
    chooser = ClipChooser("uniform", 1, 1, 1.0, window_sec=(90.0, 99.0))
    with pytest.raises(
        OutsideVideoError, match="'v' in s: the part from 90 to 99 s lies outside the video, which is 2 s"
    ):
        reader.read_frames(video_file("plain.mp4"), chooser, key="v", store="s")
    assert (
        reader.read_frames(video_file("plain.mp4"), TIMES).shape[:2] == (1, 2) and reader._process.pid == pid
    )


def test_an_error_of_the_caller_is_raised_as_such(reader, video_file):
    process = reader._process
    with pytest.raises(ValueError, match="backend is 'x'"):
        reader.read_frames(video_file("plain.mp4"), TIMES, backend="x")
    assert reader._process is process
    with pytest.raises(ZeroDivisionError):
        reader.read_frames(video_file("plain.mp4"), lambda info: 1 / 0)
    assert read_number(reader.read_frames(video_file("plain.mp4"), np.array([0.5]))[0]) == 6


def test_a_reader_that_sleeps_in_native_code_is_ended_in_time(video_file):
    reader = GuardedReader(timeout_sec=20)
    reader.read_frames(video_file("plain.mp4"), TIMES)
    hanging, reader.timeout_sec = reader._process.pid, 0.5
    start = time.monotonic()
    with pytest.raises(ReaderTimeoutError, match="'video7': no answer within 0.5 s"):
        reader.read_frames(video_file("plain.mp4"), TIMES, transform=sleep_in_native_code, key="video7")
    assert time.monotonic() - start < 5
    with pytest.raises(ProcessLookupError):
        os.kill(hanging, 0)
    reader.timeout_sec = 20
    assert torch.equal(
        reader.read_frames(video_file("plain.mp4"), TIMES), read_frames(video_file("plain.mp4"), TIMES)
    )
    with pytest.raises(DecodeError, match="crashed .exit code -11"):
        reader.read_frames(video_file("plain.mp4"), TIMES, transform=crash_in_native_code)
    reader.close()


def test_a_guarded_reader_works_inside_daemon_workers(reader, video_file):
    path = video_file("plain.mp4")
    copy = pickle.loads(pickle.dumps(reader))
    loader = torch.utils.data.DataLoader(_OneVideo(copy, path), num_workers=1, multiprocessing_context="fork")
    assert torch.equal(next(iter(loader))[0], read_frames(path, TIMES))


class _OneVideo(torch.utils.data.Dataset):
    def __init__(self, reader, path):
        self.reader, self.path = reader, path

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.reader.read_frames(self.path, TIMES)


def test_the_reader_process_ends_with_a_killed_parent(video_file):
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    parent = context.Process(target=_read_and_wait, args=(video_file("plain.mp4"), send))
    parent.start()
    child = receive.recv()
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    for _ in range(50):
        if not _is_running(child):
            return
        time.sleep(0.1)
    pytest.fail("the reader process outlived its parent")


def _read_and_wait(path, send):
    reader = GuardedReader(timeout_sec=20)
    reader.read_frames(path, TIMES)
    send.send(reader._process.pid)
    time.sleep(60)


def _is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().split()[2] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_timeout_must_be_positive():
    with pytest.raises(ValueError, match="timeout_sec is 0"):
        GuardedReader(0)


def test_a_video_whose_reader_was_killed_is_read_once_more_at_the_same_times(
    video_file, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("TOY_KILLS", str(tmp_path / "kills"))
    path, rng = video_file("plain.mp4"), np.random.default_rng(0)
    reader = GuardedReader(timeout_sec=20)
    (tmp_path / "kills").write_text("once\n")
    frames = reader.read_frames(path, lambda info: rng.uniform(0, 1, 3), transform=kill_this_process)
    chosen = np.random.default_rng(0).uniform(0, 1, 3)
    assert torch.equal(frames, read_frames(path, chosen, transform=keep_top_row))
    assert "was killed; it is read once more" in caplog.text
    (tmp_path / "kills").write_text("once\ntwice\n")
    with pytest.raises(DecodeError, match="was killed twice; is memory short"):
        reader.read_frames(path, TIMES, transform=kill_this_process)
    reader.close()
