"""Rewrites a video so that sparse reading is cheap: smaller pictures, fewer frames, more key frames.

The picture on screen at a time stays the same to half an output frame; sound is dropped. The same file gives the same
bytes each time.
"""
# pyright: reportUnknownMemberType=false
# PyAV's own annotations leave the arguments of some methods open.

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from clipbert_mmf.video.arrays import Indices, Picture
from clipbert_mmf.video.decode.pyav_backend import PyavReader, open_pyav
from clipbert_mmf.video.decode.reading import check_source


@dataclass(frozen=True)
class Encoding:
    """Settings of re-encoding; None keeps what the video has.

    Attributes:
        short_side: largest shorter side, pixels; never enlarges.
        fps: largest frame rate; never adds frames.
        gop: frames from one key frame to the next: the most that reading one frame has to decode.
        crf: quality of H.264, 0 to 51, lower is better.
        preset: speed of x264, from ultrafast to veryslow.
    """

    short_side: int | None = None
    fps: float | None = None
    gop: int = 12
    crf: int = 20
    preset: str = "veryfast"

    def __post_init__(self) -> None:
        for name in ("short_side", "fps", "gop"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; expected a number above 0")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf is {self.crf}; expected 0 to 51")


def reencode_video(source: bytes | Path, encoding: Encoding) -> bytes:
    """Return the video as MP4 with H.264, upright.

    Raises:
        MediaError: as ``decode.read_frames``; key and store are the caller's to add.
    """
    check_source(source)
    output = io.BytesIO()
    with open_pyav(source) as reader:
        frames, pts, time_base, rate = _plan_frames(reader, encoding.fps)
        reformatter = VideoReformatter()
        pictures = _iterate_in_order(reader, frames)
        first = next(pictures)
        size = _choose_size(first.shape[1], first.shape[0], encoding.short_side)
        container = av.open(output, "w", format="mp4")
        with container:
            stream = _add_stream(container, size, rate, time_base, encoding)
            for picture, tick in zip(itertools.chain([first], pictures), pts, strict=True):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame = reformatter.reformat(frame, *size, format="yuv420p", interpolation="AREA")
                frame.pts, frame.time_base = int(tick), time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return output.getvalue()


def _plan_frames(reader: PyavReader, fps: float | None) -> tuple[Indices, Indices, Fraction, Fraction]:
    """Return the frames to write, the tick of each, the length of a tick, and the nominal rate."""
    rate = Fraction(reader.info.fps).limit_denominator(1001)
    if fps is None or fps >= reader.info.fps:
        ticks = reader.timeline.ticks - reader.timeline.origin
        frames = np.arange(len(ticks))
        if ticks[0]:
            # Without the sound the file would start with its pictures: the first one is shown from 0 on.
            frames, ticks = np.insert(frames, 0, 0), np.insert(ticks, 0, 0)
        return frames, ticks, reader.timeline.tick_sec, rate
    rate = Fraction(fps).limit_denominator(1001)
    count = max(1, int(reader.timeline.duration_sec * rate + Fraction(1, 2)))
    return reader.timeline.frames_at(np.arange(count) / float(rate)), np.arange(count), 1 / rate, rate


def _iterate_in_order(reader: PyavReader, frames: Indices) -> Iterator[Picture]:
    """Yield the pictures of ``frames`` (not decreasing, repeats allowed).

    Holds only those that came too early.
    """
    early: dict[int, Picture] = {}
    decoded = reader.frames(np.unique(frames))
    last = -1
    for index in (int(frame) for frame in frames):
        while index not in early:
            number, picture = next(decoded)
            early[number] = picture
        if last != index:
            early.pop(last, None)
        last = index
        yield early[index]


def _choose_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    scale = min(1.0, (short_side or min(width, height)) / min(width, height))
    # H.264 with 4:2:0 wants even sizes.
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _add_stream(
    container: OutputContainer, size: tuple[int, int], rate: Fraction, time_base: Fraction, encoding: Encoding
) -> VideoStream:
    # Its macroblock tree gives other bytes for the same pictures now and then, by what memory held before.
    parameters = "open-gop=0:mbtree=0"
    options = {"crf": str(encoding.crf), "preset": encoding.preset, "x264-params": parameters}
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    stream.codec_context.gop_size = encoding.gop
    stream.codec_context.time_base = time_base
    stream.codec_context.thread_count = 1
    return stream
