"""Re-encoding keeps what is shown, and lowers size, rate and distance of key frames."""

import io

import av
import numpy as np
import pytest

from clipbert_mmf.video.decode import describe_video, read_frames
from clipbert_mmf.video.stores.reencode import Encoding, reencode_video
from tests.encoded_media import is_upright, read_number, write_late_pictures, write_video
from tests.video.conftest import VARIABLE_PTS


@pytest.mark.parametrize(
    "name", ["b_frames.mp4", "variable.mp4", "turned_90.mp4", "odd.webm", "animated.gif", "asp.avi"]
)
def test_reencoding_keeps_every_frame_and_its_time(video_file, name):
    data = reencode_video(video_file(name).read_bytes(), Encoding(gop=4, crf=5))
    before, after = describe_video(video_file(name)), describe_video(data)
    assert after.num_frames == before.num_frames == 24 and after.codec == "h264"
    # MP4 does not say how long the last frame of a variable rate stays; a GIF counts in hundredths.
    tolerance = {"variable.mp4": 0.5, "animated.gif": 0.011}.get(name, 2e-3)
    assert after.duration_sec == pytest.approx(before.duration_sec, abs=tolerance)
    times = (np.array(VARIABLE_PTS) + 0.5) / 90 if "variable" in name else (np.arange(24) + 0.5) / 12
    frames = read_frames(data, times)
    assert [read_number(frame) for frame in frames] == list(range(24)) and is_upright(frames[0])


def test_reencoding_lowers_rate_and_size_and_sets_key_frames(video_file):
    data = reencode_video(video_file("plain.mp4"), Encoding(short_side=32, fps=6, gop=3))
    info = describe_video(data)
    assert (info.width, info.height, info.num_frames) == (64, 32, 12)
    assert info.duration_sec == pytest.approx(2.0) and info.fps == pytest.approx(6)
    with av.open(io.BytesIO(data)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    assert max(np.diff([*keys, len(packets)])) <= 3


def test_reencoding_never_enlarges_or_adds_frames(video_file):
    info = describe_video(reencode_video(video_file("plain.mp4"), Encoding(short_side=500, fps=100)))
    assert (info.width, info.height, info.num_frames) == (128, 64, 24)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"gop": 0}, "gop is 0"), ({"crf": 99}, "crf is 99"), ({"fps": -1.0}, "fps is -1")],
)
def test_a_wrong_encoding_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        Encoding(**change)


@pytest.mark.parametrize("fps", [None, 6])
def test_pictures_that_start_late_stay_where_they_were(tmp_path, fps):
    data = write_late_pictures(tmp_path / "late.mp4").read_bytes()
    times = np.array([0.0, 2.04, 3.04, 3.9])
    shown = [
        [read_number(frame) for frame in read_frames(one, times)]
        for one in (data, reencode_video(data, Encoding(fps=fps)))
    ]
    assert shown[0] == [0, 0, 12, 22] and np.abs(np.subtract(*shown)).max() <= (0 if fps is None else 1)


def test_the_same_file_gives_the_same_bytes(tmp_path):
    path = write_video(tmp_path / "odd.mp4", 48, width=130, height=66, codec="mpeg4")
    encodings = {reencode_video(path, Encoding(short_side=48)) for _ in range(8)}
    assert len(encodings) == 1
    # What made them differ, in one of ten files or less, is off.
    assert b"mbtree=0" in encodings.pop()
