"""A file that was cut short is told from its container's own sizes; a whole one never is."""

import pytest

from clipbert_mmf.video.decode.containers import find_truncation_in
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
