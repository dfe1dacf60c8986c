"""A full pass learns the times of frames where packets do not tell them."""

from fractions import Fraction

import av
import numpy as np
import pytest

from clipbert_mmf.video.decode import full_pass
from clipbert_mmf.video.decode.full_pass import close_jumps, decode_all, decode_in_order
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


#: Ticks of 1/12 s between the starts of two recordings of 24 frames that are joined.
SHIFTS = {"the same clock": 0, "later": 24 * 100, "back": -7, "overlapping": 13, "without a gap": 24}


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
def test_joined_transport_streams_are_shown_one_after_the_other(video_file, tmp_path, shift):
    first = video_file("transport.ts")
    with av.open(str(first)) as container:
        stream = container.streams.video[0]
        ticks = round(Fraction(shift, 12) / stream.time_base)
    second = copy_packets(first, tmp_path / "second.ts", lambda number, packet: True, ticks)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    container, stream, table = open_table(joined)
    with container:
        timeline = decode_all(container, stream, table).timeline
    assert timeline.num_frames == 48 and timeline.start_sec == 0
    assert timeline.times_sec == pytest.approx(np.arange(48) / 12, abs=1e-3)


def test_only_jumps_of_the_clock_are_closed():
    second = Fraction(1, 1)
    still = np.array([0, 1, 2, 11, 12])
    assert close_jumps(still, second) is still
    assert close_jumps(np.array([0, 1, 2, 13, 14]), second).tolist() == [0, 1, 2, 3, 4]
    assert close_jumps(np.array([50, 51, 3, 4, 900]), second).tolist() == [50, 51, 52, 53, 54]
    assert close_jumps(np.array([50, 3]), second).tolist() == [50, 51]
