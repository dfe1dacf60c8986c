"""A file that was cut short is told from its container's own sizes; a whole one never is."""

import struct

import numpy as np
import pytest

from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.decode.containers import find_truncation_in
from tests.encoded_media import read_number
from tests.video.conftest import VIDEO_FILES

CHECKED = [name for name in VIDEO_FILES if not name.endswith((".ts", ".mpg"))]


@pytest.mark.parametrize("name", VIDEO_FILES)
def test_whole_files_are_whole(video_file, name):
    assert find_truncation_in(video_file(name)) == find_truncation_in(video_file(name).read_bytes()) == ""


@pytest.mark.parametrize("share", [0.4, 0.8, 0.97])
@pytest.mark.parametrize("name", CHECKED)
def test_cut_files_are_found_with_both_sizes(video_file, name, share):
    data = video_file(name).read_bytes()
    reason = find_truncation_in(data[: int(len(data) * share)])
    assert "GIF ends inside" in reason or f"the file has {int(len(data) * share)} bytes" in reason


@pytest.mark.parametrize("tail", [b"", b"\0\0", b"\r\n", b"<!-- a comment -->"])
@pytest.mark.parametrize("has_end", [True, False])
def test_a_gif_without_end_mark_or_with_bytes_behind_it_is_whole(video_file, tail, has_end):
    data = video_file("animated.gif").read_bytes()
    assert data.endswith(b"\x3b")
    assert find_truncation_in((data if has_end else data[:-1]) + tail) == ""


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"\x00\x00\x00\x18ftyp", b"GIF89a", b"\x1a\x45\xdf\xa3\x9f", b"\x1a\x45\xdf\xa3"]
)
def test_a_bare_beginning_does_not_crash(data):
    assert isinstance(find_truncation_in(data), str)


def test_a_recording_left_open_is_not_cut():
    unknown = b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67" + b"\x01" + b"\xff" * 7 + b"cluster"
    assert find_truncation_in(unknown) == ""
    assert find_truncation_in(b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x00\x00mdat" + b"data") == ""


TAILS = {
    "camera": b"\x0a\x12IAXSN0000\x12\x0einsta360"
    + bytes(range(256)) * 8
    + struct.pack("<I", 3100)
    + b"8db42d694ccc",
    "ape tag": b"APETAGEX" + struct.pack("<IIII", 2000, 64, 1, 0x80000000) + bytes(8) + b"x" * 32,
    "id3": b"TAG" + b"title".ljust(125, b"\0"),
    "page": b"</body></html>\n",
    "newline": b"\n",
    "three zeros": bytes(3),
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "a box that is not whole": struct.pack(">I", 9000) + b"free" + b"x" * 40,
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(
    "name", ["plain.mp4", "turned_270.mov", "fragmented.mp4", "matroska.mkv", "plain.avi"]
)
def test_bytes_behind_the_end_are_no_cut_and_a_cut_before_them_is_one(video_file, name, tail):
    data = video_file(name).read_bytes()
    if name != "fragmented.mp4" or "box" not in tail:
        assert find_truncation_in(data + TAILS[tail]) == ""
        assert [read_number(frame) for frame in read_frames(data + TAILS[tail], np.array([0.01, 9.0]))] == [
            0,
            23,
        ]
    assert find_truncation_in(data[: len(data) * 3 // 5]) != ""


def test_an_avi_whose_head_states_too_much_is_whole_where_its_chunks_are(video_file):
    data = bytearray(video_file("plain.avi").read_bytes())
    data[4:8] = struct.pack("<I", len(data) + 4000)
    assert find_truncation_in(bytes(data)) == "" != find_truncation_in(bytes(data[: len(data) // 2]))
