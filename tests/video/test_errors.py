"""Whatever is wrong with a medium comes out as a typed error that names key, store and reason."""

import pickle

import numpy as np
import pytest

from clipbert_mmf.video.decode import BACKENDS, describe_video, read_frames
from clipbert_mmf.video.errors import (
    DecodeError,
    EmptyMediaError,
    ExtremeAspectError,
    MediaError,
    MissingMediaError,
    NoVideoStreamError,
    TruncatedMediaError,
)
from tests.encoded_media import copy_packets, read_number, write_audio, write_image, write_video

START = np.array([0.0])


def cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(len(data) * share)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize(
    ("kind", "error", "reason"),
    [
        ("empty", EmptyMediaError, "the file is empty"),
        ("text", DecodeError, "cannot be opened as a video"),
        ("noise", DecodeError, "cannot be opened as a video"),
        ("audio", NoVideoStreamError, r"no video stream \(streams: audio\)"),
        ("image", NoVideoStreamError, "not a video"),
        ("cut_mp4", TruncatedMediaError, "cut short"),
        ("cut_gif", TruncatedMediaError, "cut short"),
        ("cut_mkv", TruncatedMediaError, "cut short"),
        ("cut_avi", TruncatedMediaError, "cut short"),
        ("thin", ExtremeAspectError, "1616x16"),
    ],
)
def test_a_broken_file_is_a_typed_error(broken_file, kind, error, reason, as_bytes, backend):
    path = broken_file(kind)
    source = path.read_bytes() if as_bytes else path
    with pytest.raises(error, match=reason) as caught:
        read_frames(source, START, backend=backend, key="video7", store="/data/msrvtt")
    assert (caught.value.key, caught.value.store) == ("video7", "/data/msrvtt")
    assert str(caught.value).startswith("'video7' in /data/msrvtt: ") and "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def broken_file(tmp_path_factory, video_file):
    folder = tmp_path_factory.mktemp("broken")

    def write(kind):
        if kind == "audio":
            return write_audio(folder / "audio.mp4")
        if kind == "image":
            return write_image(folder / "image.png")
        if kind == "thin":
            return write_video(
                folder / "thin.mkv", 2, width=1616, height=16, codec="ffv1", pix_fmt="bgr0", tile=True
            )
        contents = {
            "empty": lambda: b"",
            "text": lambda: b"<html>404 Not Found</html>\n" * 20,
            "noise": lambda: np.random.default_rng(0).bytes(4000),
            "cut_mp4": lambda: cut(video_file("fragmented.mp4").read_bytes()),
            "cut_gif": lambda: cut(video_file("animated.gif").read_bytes()),
            "cut_mkv": lambda: cut(video_file("matroska.mkv").read_bytes()),
            "cut_avi": lambda: cut(video_file("plain.avi").read_bytes()),
        }
        path = folder / f"{kind}.mp4"
        path.write_bytes(contents[kind]())
        return path

    return write


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize(
    "name", ["plain.mp4", "fragmented.mp4", "matroska.mkv", "vp9.webm", "plain.avi", "animated.gif"]
)
def test_a_file_cut_anywhere_is_an_error(video_file, name, share):
    with pytest.raises(MediaError):
        read_frames(cut(video_file(name).read_bytes(), share), START)


@pytest.mark.parametrize(
    "name", ["plain.mp4", "matroska.mkv", "vp9.webm", "plain.avi", "animated.gif", "sound.mp4"]
)
def test_a_whole_file_with_bytes_behind_its_end_is_read(video_file, name):
    assert read_number(read_frames(video_file(name).read_bytes() + b"\0" * 3, START)[0]) == 0


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingMediaError, match="no file .*gone.mp4"):
        read_frames(tmp_path / "gone.mp4", START)
    with pytest.raises(MissingMediaError):
        describe_video(tmp_path / "gone.mp4")


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(MissingMediaError):
        read_frames(tmp_path, START)


def test_frames_before_a_break_are_right_and_those_behind_it_are_errors(video_file):
    data = damage_frames(video_file("one_gop.mp4"), first=12)
    assert [read_number(frame) for frame in read_frames(data, np.array([0.0, 0.3]))] == [0, 3]
    with pytest.raises(DecodeError, match="decoding breaks"):
        read_frames(data, np.array([0.0, 1.9]))


def damage_frames(path, first: int) -> bytes:
    """Overwrite the compressed data of packets ``first`` and later."""
    import av

    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in places[first:]:
        data[position : position + size] = b"\xff" * size
    return bytes(data)


def test_a_video_that_lost_its_first_frames_starts_at_the_first_one_left(video_file, tmp_path):
    for container in ("mkv", "ts"):
        path = copy_packets(
            video_file("plain.mp4"), tmp_path / f"late.{container}", lambda number, packet: number >= 3
        )
        frames = read_frames(path, lambda info: np.array([0.0, info.duration_sec]))
        assert [read_number(frame) for frame in frames] == [8, 23]


def test_the_first_of_several_video_streams_counts(tmp_path):
    path = write_video(tmp_path / "two.mkv", 12, second_stream=True)
    assert [read_number(frame) for frame in read_frames(path, np.array([0.0, 0.5]))] == [0, 6]


def test_an_edit_list_hides_its_frames(video_file, tmp_path):
    path = copy_packets(
        video_file("plain.mp4"), tmp_path / "edited.mp4", lambda number, packet: True, shift=-3 * 1024
    )
    assert read_number(read_frames(path, START)[0]) == 3


def test_an_unreadable_file_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "locked.mp4"
    path.write_bytes(b"x" * 100)
    monkeypatch.setattr("os.open", lambda *args, **kwargs: (_ for _ in ()).throw(PermissionError("denied")))
    with pytest.raises(DecodeError, match="denied"):
        read_frames(path, START)


def test_errors_cross_process_boundaries_whole():
    error = pickle.loads(pickle.dumps(DecodeError("it broke", "video7", "/data")))
    assert (error.reason, error.key, error.store) == ("it broke", "video7", "/data")
    assert str(error) == "'video7' in /data: it broke"


def test_a_file_without_a_key_is_named_by_its_path(tmp_path):
    (tmp_path / "nothing.mp4").write_bytes(b"")
    with pytest.raises(EmptyMediaError, match="nothing.mp4': the file is empty"):
        read_frames(tmp_path / "nothing.mp4", START)
