"""Renders the world: stills as JPEG, videos as H.264 MP4, some as MPEG-4 AVI or GIF."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from demo_corpus.world import Thing, make_background, paint

#: Width and height of videos in pixels; whole macroblocks, since what pads others is not the same in every
#: run.
FRAME_SIZES = ((160, 128), (192, 144), (128, 128), (128, 160), (144, 192), (176, 112))

#: Extension -> (codec, pixel format, options); GIF is written by Pillow.
CODECS = {
    ".mp4": (
        "libx264",
        "yuv420p",
        {"preset": "veryfast", "crf": "20", "g": "24", "x264-params": "threads=1:lookahead-threads=1"},
    ),
    ".avi": ("mpeg4", "yuv420p", {"b": "4M", "qmax": "5", "g": "12"}),
    ".webm": ("libvpx", "yuv420p", {"crf": "10", "b": "1M", "deadline": "realtime", "cpu-used": "8"}),
}
CODECS[".mkv"] = CODECS[".mp4"]


def render_still(path: Path, things: list[Thing], seed: list[int]) -> tuple[int, int]:
    """Write a picture; return its width and height in pixels."""
    rng = np.random.default_rng(seed)
    width, height = (int(value) for value in rng.choice([104, 112, 128, 144], 2))
    image = make_background(rng, width, height)
    for thing in things:
        paint(image, thing, tuple(rng.uniform(-0.04, 0.04, 2)), rng.uniform(-0.2, 0.2))
    image.save(path, quality=92)
    return width, height


def render_frames(first: Thing, second: Thing, seed: list[int]) -> tuple[list[Image.Image], int]:
    """Return the frames of a video and its frames per second.

    One thing in its first half, the other in its second.
    """
    rng = np.random.default_rng(seed)
    width, height = FRAME_SIZES[rng.integers(len(FRAME_SIZES))]
    fps = int(rng.choice([8, 10, 12, 15]))
    count = max(4, int(rng.uniform(2.0, 6.0) * fps))
    change = count / 2 + rng.uniform(-0.08, 0.08) * count
    background = make_background(rng, width, height)
    speed, phase = rng.uniform(2.0, 5.0), rng.uniform(0, 2 * math.pi)
    frames = []
    for number in range(count):
        image = background.copy()
        time = number / fps
        # Things sway in their place and turn a little: motion without a caption.
        sway = (0.04 * math.sin(speed * time + phase), 0.04 * math.cos(speed * time))
        paint(image, first if number < change else second, sway, 0.3 * math.sin(speed * time))
        frames.append(image)
    return frames, fps


def write_video(path: Path, frames: list[Image.Image], fps: int) -> None:
    """Encode frames by the path's extension."""
    if path.suffix == ".gif":
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0)
        return
    codec, pixel_format, options = CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = pixel_format
        stream.thread_count = 1
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode(None))
