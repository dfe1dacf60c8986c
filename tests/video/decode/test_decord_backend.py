"""decord decodes the files it can be trusted with, and leaves the rest to PyAV."""

import numpy as np
import pytest

from clipbert_mmf.video.decode.backend import CannotServeError
from clipbert_mmf.video.decode.decord_backend import read_with_decord
from clipbert_mmf.video.decode.pyav_backend import open_pyav
from tests.encoded_media import read_number


@pytest.mark.parametrize("name", ["plain.mp4", "b_frames.mp4", "matroska.mkv"])
def test_wanted_frames_are_the_right_ones(video_file, name):
    pytest.importorskip("decord")
    wanted = np.array([0, 7, 19])
    for source in (video_file(name), video_file(name).read_bytes()):
        with open_pyav(source) as reader:
            pictures = dict(read_with_decord(source, reader, wanted))
        assert [read_number(pictures[index]) for index in wanted] == wanted.tolist()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("asp.avi", "packets do not tell the times"),
        ("odd.mp4", "yuv444p 131x67"),
        ("ten_bit.mp4", "yuv420p10le"),
        ("mirrored.mp4", "shown mirrored"),
        ("turned_mirrored.mov", "shown mirrored"),
    ],
)
def test_files_it_cannot_be_trusted_with_are_refused_before_the_first_frame(video_file, name, reason):
    with open_pyav(video_file(name)) as reader, pytest.raises(CannotServeError, match=reason):
        next(read_with_decord(video_file(name), reader, np.array([0])))
