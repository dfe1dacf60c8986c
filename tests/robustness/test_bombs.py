"""Small files that unpack to huge pictures are refused before they take memory, and none takes more than is allowed."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipbert_mmf.video.clips import ClipOptions, ClipReader, ImageOptions
from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.images import read_image
from clipbert_mmf.video.watchdog import GuardedReader

ROOT = Path(__file__).resolve().parents[2]


def make_png(width: int, height: int) -> bytes:
    """Return a white PNG of one bit a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed, row = zlib.compressobj(9), b"\0" + b"\xff" * (width // 8)
    data = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def make_gif(width: int, height: int) -> bytes:
    """Return a GIF whose canvas is of another size than its pictures."""
    buffer = io.BytesIO()
    pictures = [Image.new("P", (8, 8), color) for color in (0, 1, 2)]
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=100)
    data = bytearray(buffer.getvalue())
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    (folder / "large.png").write_bytes(make_png(10000, 10000))
    (folder / "large.gif").write_bytes(make_gif(30000, 30000))
    return folder


def test_pictures_that_are_too_large_name_the_key(bombs):
    message = r"the picture is 10000x10000, 100\.0 megapixels; at most 50 are decoded \(max_megapixels"
    with pytest.raises(MediaError, match=message):
        read_image(bombs / "large.png")
    gif = bombs / "large.gif"
    for read in (lambda: read_frames(gif, np.zeros(1)), lambda: ClipReader(ClipOptions()).read_source(gif)):
        with pytest.raises(MediaError, match="the picture is 30000x30000"):
            read()
    small = ClipReader(ImageOptions(image_size=32, max_megapixels=0.001))
    (bombs / "small.png").write_bytes(make_png(64, 64))
    with pytest.raises(MediaError, match="at most 0.001 are decoded"):
        small.read_source(bombs / "small.png")
    (bombs / "small.png").unlink()
    with pytest.raises(ValueError, match="max_megapixels is 0; expected a number above 0"):
        ImageOptions(max_megapixels=0)
    with pytest.raises(ValueError, match="reader_memory_mib is 0"):
        ClipOptions(reader_memory_mib=0)


def test_a_large_photograph_is_read_at_a_smaller_scale(tmp_path):
    Image.new("RGB", (9000, 6000), (200, 10, 10)).save(tmp_path / "photo.jpg")
    clips = ClipReader(ImageOptions(image_size=64)).read_source(tmp_path / "photo.jpg")
    assert clips.frames.shape == (1, 1, 3, 64, 64)


def test_images_are_read_in_the_reader_process_within_its_limits(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(path)
    guarded = ClipReader(ImageOptions(image_size=32, reader_timeout_sec=60))
    plain = ClipReader(ImageOptions(image_size=32))
    assert torch.equal(guarded.read_source(path).frames, plain.read_source(path).frames)
    guarded.close()
    (tmp_path / "large.png").write_bytes(make_png(12000, 12000))
    reader = GuardedReader(60, memory_mib=64)
    with pytest.raises(MediaError, match="64 MiB of memory|cannot allocate|MemoryError|broken image"):
        reader.read_image(tmp_path / "large.png", max_megapixels=1e6)
    assert reader.read_image(path).shape == (3, 40, 60)
    reader.close()


PROGRAM = """
import resource, sys
from clipbert_mmf.video.check import StoreChecker
from clipbert_mmf.video.stores.open import open_store
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for media in ("video", "image"):
    store = open_store(sys.argv[1], media=media)
    checker = StoreChecker(store, timeout_sec=60, media=media)
    for key in store.keys():
        print(checker.check(key).reason)
    checker._guard().close()
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print("MiB", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, children // 1024)
"""


def test_a_check_of_bombs_takes_little_memory(bombs):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(bombs)], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *reasons, used = done.stdout.splitlines()
    assert len(reasons) == 3 and all("megapixels" in reason for reason in reasons), done.stdout + done.stderr
    assert all(int(number) < 1000 for number in used.split()[1:]), used
