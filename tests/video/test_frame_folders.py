"""A folder of numbered images is a video; a folder of thumbnails is none."""

import numpy as np
import pytest
from PIL import Image

from clipbert_mmf.video.clips import ClipOptions, ClipReader
from clipbert_mmf.video.errors import DecodeError, EmptyMediaError
from clipbert_mmf.video.frame_folders import FrameFolder, choose_frame_folders, is_frame_folder
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import draw_frame, read_number


def write_frames(folder, count=20, name="{:06d}.png", first=1):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(draw_frame(number)).save(folder / name.format(number + first))
    return folder


@pytest.mark.parametrize("name", ["{:06d}.png", "frame_{}.png", "img_{:05d}.png", "video7_{:03d}.png"])
def test_a_folder_of_frames_is_read_as_a_video(tmp_path, name):
    write_frames(tmp_path / "set" / "video7", name=name)
    options = ClipOptions(image_size=128, num_clips=2, num_frames=2, sampling="uniform", frames_fps=5)
    store = open_store(tmp_path, media="video")
    assert store.keys() == ["set/video7"] and isinstance(store.read("video7"), FrameFolder)
    clips = ClipReader(options).read(str(tmp_path), "set/video7", window_sec=(1.0, 3.0))
    assert clips.times_sec == ((1.0, 2.0), (2.0, 3.0))
    assert [read_number(frame[:, :64].numpy()) for frame in clips.frames.flatten(0, 1)] == [5, 9, 10, 14]


def test_thumbnails_and_pictures_are_no_frames():
    assert choose_frame_folders({"thumbs": ["thumbs/1.jpg", "thumbs/2.jpg"]}, ["a/1.mp4", "a/2.mp4"]) == []
    assert (
        choose_frame_folders(
            {"coco": ["coco/000000000139.jpg", "coco/000000000285.jpg", "coco/000000000632.jpg"]}, []
        )
        == []
    )
    assert choose_frame_folders({"a": ["a/vid0.jpg", "a/vid1.jpg"], "b": ["b/1.jpg", "b/1.png"]}, []) == []
    assert choose_frame_folders({"a": [f"a/{n}.jpg" for n in range(0, 90, 3)]}, ["other.mp4"]) == ["a"]


def test_a_broken_frame_is_named(tmp_path):
    folder = write_frames(tmp_path / "video7", count=3)
    (folder / "000002.png").write_bytes(b"no picture")
    with pytest.raises(DecodeError, match="'video7' in .*not an image"):
        ClipReader(ClipOptions(image_size=32, num_frames=3, frames_fps=3)).read(
            str(tmp_path), "video7", np.random.default_rng(0)
        )
    assert is_frame_folder(folder) and not is_frame_folder(tmp_path)
    with pytest.raises(EmptyMediaError):
        FrameFolder(tmp_path).list_frames()
