"""A medium as a user gives it, and the media of a folder."""

import numpy as np
import pytest
import torch

from clipbert_mmf.inference.media import find_media, open_media, require_media
from clipbert_mmf.video.decoded import DecodedVideo
from clipbert_mmf.video.errors import MissingMediaError, StoreError


def test_paths_bytes_and_arrays_are_opened_with_a_name(tmp_path):
    file = tmp_path / "a b.mp4"
    file.write_bytes(b"x")
    assert open_media(str(file)) == (file, str(file))
    assert open_media(f"file://{tmp_path}/a%20b.mp4")[0] == file
    assert open_media(memoryview(b"xy")) == (b"xy", "the given bytes")
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    for given in (frames, torch.from_numpy(frames), DecodedVideo(frames)):
        found, name = open_media(given)
        assert isinstance(found, DecodedVideo) and name == "the given frames"


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(MissingMediaError, match=r"no file .*none\.mp4"):
        open_media(tmp_path / "none.mp4")
    with pytest.raises(TypeError, match="found int; expected a path"):
        open_media(3)
    with pytest.raises(StoreError, match="reading it failed"):
        open_media("nowhere://a.mp4")


def test_media_of_a_folder_are_sorted_and_hidden_ones_are_passed_over(tmp_path):
    for name in ("b.mp4", "deep/a.MKV", ".hidden/c.mp4", ".d.mp4", "e.txt", "f.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in find_media(tmp_path, "video")] == [
        "b.mp4",
        "deep/a.MKV",
    ]
    assert [path.name for path in require_media(tmp_path, "image")] == ["f.jpg"]
    with pytest.raises(FileNotFoundError, match=r"holds no images; looked for .*\.jpg"):
        require_media(tmp_path / "deep", "image")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_media(tmp_path / "none", "video")
