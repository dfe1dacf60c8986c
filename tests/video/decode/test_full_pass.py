"""A full pass learns the times of frames where packets do not tell them."""

import av
import pytest

from clipbert_mmf.video.decode import full_pass
from clipbert_mmf.video.decode.full_pass import decode_all, decode_in_order
from clipbert_mmf.video.decode.packets import read_table
from clipbert_mmf.video.errors import DecodeError
from tests.encoded_media import copy_packets, read_number


def open_table(path):
    container = av.open(str(path))
    stream = container.streams.video[0]
    return container, stream, read_table(container, stream)


@pytest.mark.parametrize("name", ["asp.avi", "transport.ts", "mpeg2.mpg", "vp8.webm", "plain.mp4"])
def test_every_frame_has_its_time_and_is_kept(video_file, name):
    container, stream, table = open_table(video_file(name))
    with container:
        decoded = decode_all(container, stream, table)
        assert decoded.num_good == decoded.timeline.num_frames == 24
        assert decoded.timeline.duration_sec == pytest.approx(
            24 / (25 if name == "mpeg2.mpg" else 12), abs=0.05
        )
        numbers = [read_number(frame.to_ndarray(format="rgb24")) for frame in decoded.kept]
        assert numbers == list(range(24))
        assert len(list(decode_in_order(container, stream, table))) == 24


def test_frames_of_a_large_video_are_not_kept(video_file, monkeypatch):
    monkeypatch.setattr(full_pass, "_MAX_KEPT_BYTES", 0)
    container, stream, table = open_table(video_file("plain.mp4"))
    with container:
        decoded = decode_all(container, stream, table)
        assert decoded.kept is None and decoded.num_good == 24


def test_a_stream_without_a_frame_that_can_be_decoded_is_an_error(video_file, tmp_path):
    path = copy_packets(video_file("one_gop.mp4"), tmp_path / "a.mkv", lambda number, packet: number > 0)
    container, stream, table = open_table(path)
    with container:
        try:
            num_good = decode_all(container, stream, table).num_good
        except DecodeError as error:
            assert "no frame can be decoded" in str(error)
        else:
            assert num_good < 24
