"""TorchCodec gives the very pictures of PyAV, and leaves to it the files it cannot be trusted with."""

import shutil

import numpy as np
import pytest
import torch

from clipbert_mmf.video.decode import CannotServeError, read_frames
from clipbert_mmf.video.decode import torchcodec_backend as backend
from clipbert_mmf.video.decode.pyav_backend import open_pyav
from tests.encoded_media import read_number
from tests.video.conftest import VIDEO_FILES

REFUSED = {
    "asp.avi": "packets do not tell the times",
    "vp8.webm": "packets do not tell the times",
    "odd.webm": "yuv420p 131x67",
    "ten_bit.mp4": "yuv420p10le",
    "mirrored.mp4": "shown mirrored",
    "turned_mirrored.mov": "shown mirrored",
}
SERVED = [
    name
    for name in VIDEO_FILES
    if name not in {*REFUSED, "av1.mkv", "mpeg2.mpg", "transport.ts", "plain.avi", "hevc.mp4", "vp9.webm"}
]


@pytest.fixture
def installed():
    if backend._find_decoder() is None:
        pytest.skip("TorchCodec, or the FFmpeg it needs, is not installed")


@pytest.mark.parametrize("name", SERVED)
def test_the_pictures_of_a_file_are_those_of_pyav(installed, video_file, name):
    times, served = np.array([0.0, 0.3, 0.7, 1.9, 0.3]), []
    for source in (video_file(name), video_file(name).read_bytes()):
        frames = read_frames(source, times, backend="torchcodec", on_served=served.append)
        assert torch.equal(frames, read_frames(source, times))
    assert served == ["torchcodec"] * 2


def test_a_name_with_a_colon_is_a_name(installed, video_file, tmp_path):
    place = shutil.copy(video_file("plain.mp4"), tmp_path / "a:b.mp4")
    with open_pyav(place) as reader:
        pictures = dict(backend.read_with_torchcodec(place, reader, np.array([3, 20])))
    assert [read_number(pictures[index]) for index in (3, 20)] == [3, 20]


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_files_it_cannot_be_trusted_with_are_refused_before_the_first_frame(
    video_file, name, reason, monkeypatch
):
    monkeypatch.setattr(backend, "_find_decoder", lambda: object)
    with open_pyav(video_file(name)) as reader, pytest.raises(CannotServeError, match=reason):
        next(backend.read_with_torchcodec(video_file(name), reader, np.array([0])))


def test_without_it_pyav_reads_and_the_log_says_what_to_type(video_file, monkeypatch, caplog):
    def refuse(module, extra, need):
        raise ImportError(f"{need}: pip install it")

    monkeypatch.setattr(backend, "import_extra", refuse)
    backend._find_decoder.cache_clear()
    try:
        times, served = np.array([0.0]), []
        frames = read_frames(video_file("plain.mp4"), times, backend="torchcodec", on_served=served.append)
    finally:
        backend._find_decoder.cache_clear()
    assert torch.equal(frames, read_frames(video_file("plain.mp4"), times)) and served == ["pyav"]
    assert caplog.messages == [
        "PyAV reads the videos, with the same frames: backend torchcodec needs TorchCodec: pip install it"
    ]
