"""A medium is named by its bytes; a folder of frames by those of its images in order."""

import hashlib

import pytest
from PIL import Image

from clipbert_mmf.video.errors import MissingMediaError
from clipbert_mmf.video.media_hash import hash_media


def test_files_and_folders_of_frames(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"one")
    assert hash_media(tmp_path / "a.mp4") == hashlib.sha256(b"one").hexdigest()
    (tmp_path / "frames").mkdir()
    for number in range(2):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / "frames" / f"{number:03d}.png")
    images = b"".join((tmp_path / "frames" / name).read_bytes() for name in ("000.png", "001.png"))
    assert hash_media(tmp_path / "frames") == hashlib.sha256(images).hexdigest()
    with pytest.raises(MissingMediaError):
        hash_media(tmp_path / "b.mp4")
