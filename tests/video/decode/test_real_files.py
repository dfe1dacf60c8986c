"""Real videos and images of many makers: the frames equal those of a full decode, on every backend.

The files are not part of the project; without them the generated files of the other tests cover the same
cases.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from clipbert_mmf.video.decode import BACKENDS, describe_video, read_frames
from clipbert_mmf.video.errors import DecodeError
from clipbert_mmf.video.images import read_image
from tests.real_data import REAL_DATA

VIDEOS = sorted((REAL_DATA / "videos").rglob("*.*"))
IMAGES = sorted((REAL_DATA / "images").rglob("*.*"))

pytestmark = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real files are not here")

#: ``auto`` is PyAV.
DISTINCT_BACKENDS = [backend for backend in BACKENDS if backend != "auto"]
#: Mean grey levels by which backends may differ: PyAV before 18 brings colours to full size otherwise than
#: decord.
TOLERANCE = {"decord": 0.7} if int(av.__version__.split(".")[0]) < 18 else {}
#: What decoding everything cannot tell: frames behind a break, and images that are none.
NUM_FRAMES = {"corrupted.mp4": 50}
BROKEN_IMAGES = {"corrupt.jpg"}


def name_of(path: Path) -> str:
    return path.name


def decode_fully(path: Path, wanted: set[int]) -> tuple[dict[int, np.ndarray], list[float]]:
    """Independent of ours: every frame with PyAV's own loop; wanted pictures, and all times in order."""
    pictures, times = {}, []
    with av.open(str(path)) as container:
        try:
            for number, frame in enumerate(container.decode(video=0)):
                times.append(frame.time)
                if number in wanted:
                    colours = {}
                    if int(av.__version__.split(".")[0]) < 17 and frame.colorspace != 5:
                        # PyAV takes every picture for BT.601 unless it is told that the target differs.
                        colours = {"src_colorspace": int(frame.colorspace), "dst_colorspace": 5}
                    picture = frame.to_ndarray(format="rgb24", **colours)
                    turned = np.rot90(picture, round(frame.rotation / 90))
                    pictures[number] = np.ascontiguousarray(turned)
        except av.error.InvalidDataError:
            pass
    return pictures, sorted(times)


@pytest.mark.parametrize("path", VIDEOS, ids=name_of)
def test_real_video_gives_the_frames_of_a_full_decode(path):
    info = describe_video(path)
    rng = np.random.default_rng(0)
    wanted = np.unique([0, info.num_frames - 1, *rng.integers(0, info.num_frames, 4)])
    expected, times = decode_fully(path, set(wanted.tolist()))
    assert info.num_frames == NUM_FRAMES.get(path.name, len(times))
    assert info.duration_sec == pytest.approx(info.num_frames / info.fps, rel=0.02)
    moments = {frame: times[frame] - times[0] + 1e-4 for frame in expected}
    for backend in DISTINCT_BACKENDS:
        groups = [[frame] for frame in expected] + ([list(expected)] if path.name not in NUM_FRAMES else [])
        for frames in groups:
            pictures = read_frames(path, np.array([moments[frame] for frame in frames]), backend=backend)
            for frame, picture in zip(frames, pictures, strict=True):
                difference = np.abs(picture.permute(1, 2, 0).numpy().astype(int) - expected[frame])
                assert difference.mean() <= TOLERANCE.get(backend, 0), (backend, frames, frame)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("path", [path for path in VIDEOS if path.name in NUM_FRAMES], ids=name_of)
def test_real_broken_video_is_an_error_behind_its_break(path, backend):
    with pytest.raises(DecodeError, match="decoding breaks"):
        read_frames(path.read_bytes(), lambda info: np.array([0.0, info.duration_sec]), backend=backend)


@pytest.mark.parametrize("path", IMAGES, ids=name_of)
def test_real_image_becomes_upright_rgb(path):
    if path.name in BROKEN_IMAGES:
        with pytest.raises(DecodeError, match="broken image|not an image"):
            read_image(path)
        return
    picture = read_image(path.read_bytes())
    with Image.open(path) as image:
        turned = image.getexif().get(0x0112, 1) >= 5
        size = image.size[::-1] if turned else image.size
    assert tuple(picture.shape) == (3, size[1], size[0]) and picture.dtype == torch.uint8
    assert picture.float().std() > 1


@pytest.mark.parametrize("path", [path for path in IMAGES if path.suffix in (".jpg", ".jpeg")], ids=name_of)
def test_real_jpeg_decoded_small_shows_the_same_picture(path):
    if path.name in BROKEN_IMAGES:
        return
    full, small = read_image(path), read_image(path, longest_side=max(read_image(path).shape) // 4)
    assert max(small.shape) >= max(full.shape) // 4
    blurred = torch.nn.functional.interpolate(full[None].float(), size=small.shape[1:], mode="area")[0]
    assert (blurred - small).abs().mean() < 4
