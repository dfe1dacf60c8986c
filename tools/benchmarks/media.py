"""Files to measure with, written once into a cache folder: moving texture, so that codecs have real work."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image


def _texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(
        np.int16
    )
    return np.clip(smooth + rng.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)


def make_video(path: Path, seconds: float, width: int, height: int, gop: int, fps: int = 30) -> Path:
    """Write H.264 with B-frames as a video site does (preset veryfast, crf 23), or return what is there."""
    if path.exists():
        return path
    scene, sprite = _texture(height * 2, width * 2), _texture(height // 3, width // 3, seed=1)
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w", format="mp4") as output:
        stream = output.add_stream(
            "libx264", rate=fps, options={"preset": "veryfast", "crf": "23", "sc_threshold": "0"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        for number in range(int(seconds * fps)):
            output.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(_draw(scene, sprite, number, width, height), "rgb24")
                )
            )
        output.mux(stream.encode(None))
    part.rename(path)
    return path


def make_gif(path: Path, seconds: float, width: int, height: int, fps: int = 10) -> Path:
    """Write a GIF, or return what is there."""
    if path.exists():
        return path
    scene, sprite = _texture(height * 2, width * 2), _texture(height // 3, width // 3, seed=1)
    frames = [Image.fromarray(_draw(scene, sprite, n, width, height)) for n in range(int(seconds * fps))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // fps)
    return path


def make_jpeg(path: Path, width: int, height: int) -> Path:
    """Write a JPEG of quality 90, or return what is there."""
    if not path.exists():
        Image.fromarray(_texture(height, width)).save(path, quality=90)
    return path


def _draw(scene: np.ndarray, sprite: np.ndarray, number: int, width: int, height: int) -> np.ndarray:
    top, left = number % height, (2 * number) % width
    picture = scene[top : top + height, left : left + width].copy()
    row = int((np.sin(number / 20) + 1) / 2 * (height - sprite.shape[0]))
    column = int((np.cos(number / 13) + 1) / 2 * (width - sprite.shape[1]))
    picture[row : row + sprite.shape[0], column : column + sprite.shape[1]] = sprite
    return np.ascontiguousarray(picture)
