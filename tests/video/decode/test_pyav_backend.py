"""PyAV serves every file: facts before decoding, wanted frames, typed errors only."""

import numpy as np
import pytest
from av.error import InvalidDataError

from clipbert_mmf.video.decode.pyav_backend import open_pyav, read_with_pyav
from clipbert_mmf.video.errors import DecodeError, NoVideoStreamError
from tests.encoded_media import read_number, write_audio, write_image


@pytest.mark.parametrize("name", ["plain.mp4", "open_gop.mkv", "asp.avi", "vp8.webm", "animated.gif"])
def test_wanted_frames_are_decoded_once_each(video_file, name):
    wanted = np.array([0, 5, 6, 17, 23])
    with open_pyav(video_file(name)) as reader:
        pictures = dict(read_with_pyav(b"", reader, wanted, 1))
    assert sorted(pictures) == wanted.tolist()
    assert all(read_number(picture) == index for index, picture in pictures.items())


def test_facts_are_known_without_decoding(video_file):
    with open_pyav(video_file("plain.mp4").read_bytes()) as reader:
        info = reader.info
        assert (info.num_frames, info.width, info.height, info.codec) == (24, 128, 64, "h264")
        assert info.fps == pytest.approx(12) and info.duration_sec == pytest.approx(2)
        assert reader.pixel_format == "yuv420p"


def test_an_error_of_ffmpeg_while_reading_is_a_typed_one(video_file):
    with pytest.raises(DecodeError, match="decoding breaks"), open_pyav(video_file("plain.mp4")):
        raise InvalidDataError(1094995529, "Invalid data found when processing input")


@pytest.mark.parametrize("kind", ["text", "sound", "image"])
def test_files_without_a_video_are_refused(tmp_path, kind):
    path = tmp_path / "a.mp4"
    if kind == "text":
        path.write_bytes(b"no video at all" * 100)
    elif kind == "sound":
        write_audio(path)
    else:
        path = write_image(tmp_path / "a.png")
    with pytest.raises((DecodeError, NoVideoStreamError)), open_pyav(path):
        pass
