"""Decodes a whole stream to learn when its frames are shown, where the packets do not tell.

Packed B-frames in AVI, transport and program streams, files that lost their first key frame, VP8 with hidden
frames.
"""
# pyright: reportUnknownMemberType=false
# PyAV's own annotations leave the arguments of some methods open.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from clipbert_mmf.video.arrays import Indices
from clipbert_mmf.video.decode.packets import PacketTable, iterate_packets, read_file_start
from clipbert_mmf.video.decode.timeline import Timeline, make_timeline
from clipbert_mmf.video.errors import DecodeError

#: Containers of broadcast: their clock may start anew, where recordings were joined.
_JUMPING_CONTAINERS = ("mpegts", "mpeg")
#: Steps between frames that are jumps of the clock, as FFmpeg's program takes them.
_BACKWARD_SEC, _FORWARD_SEC = 0.1, 10.0
#: Decoded frames kept while the timeline is learned, so that small files are decoded once.
_MAX_KEPT_BYTES = 128 * 2**20


@dataclass(frozen=True)
class DecodedStream:
    """Result of decoding a whole stream.

    Attributes:
        timeline: when the frames are shown.
        num_good: frames that can be decoded; those after them lie behind a break.
        kept: the frames if they are small, else None.
    """

    timeline: Timeline
    num_good: int
    kept: list[av.VideoFrame] | None


def decode_in_order(
    container: InputContainer, stream: VideoStream, table: PacketTable
) -> Iterator[av.VideoFrame]:
    """Decode every packet; what cannot be decoded before the first frame is skipped, as a player does.

    Raises:
        FFmpegError: where decoding breaks after the first frame.
    """
    context = stream.codec_context
    context.flush_buffers()
    has_started = False
    try:
        for packet in (*iterate_packets(container, stream, table), None):
            try:
                frames = context.decode(packet)
            except FFmpegError:
                if has_started:
                    raise
                continue
            has_started = has_started or bool(frames)
            yield from frames
    finally:
        context.flush_buffers()


def decode_all(container: InputContainer, stream: VideoStream, table: PacketTable) -> DecodedStream:
    """Decode the stream once and keep its frames if they are small.

    Raises:
        DecodeError: if it has no frame that can be decoded.
    """
    pts: list[int | None] = []
    kept: list[av.VideoFrame] | None = []
    size, last_ticks, is_broken = 0, 0, False
    try:
        for frame in decode_in_order(container, stream, table):
            pts.append(frame.pts)
            last_ticks = frame.duration
            if kept is not None:
                kept.append(frame)
                size += sum(plane.buffer_size for plane in frame.planes)
                if size > _MAX_KEPT_BYTES:
                    kept = None
    except FFmpegError:
        is_broken = True
    if not pts:
        raise DecodeError("no frame can be decoded")
    num_good = len(pts)
    if is_broken and table.pts is not None and None not in pts:
        # The frames behind the break still count as time; asking for one is an error.
        last = max(known for known in pts if known is not None)
        pts.extend(later for later in np.sort(table.pts).tolist() if later > last)
    return DecodedStream(_make_timeline(pts, container, stream, last_ticks), num_good, kept)


def close_jumps(pts: Indices, tick_sec: Fraction) -> Indices:
    """Return presentation times without jumps of the clock, as FFmpeg and players show recordings that were joined.

    Args:
        pts: ``(num_frames,)`` ticks in the order in which frames are shown.
        tick_sec: length of a tick.
    """
    steps_sec = np.diff(pts) * float(tick_sec)
    is_jump = (steps_sec < -_BACKWARD_SEC) | (steps_sec > _FORWARD_SEC)
    if not is_jump.any():
        return pts
    steps = np.diff(pts)
    usual = steps[~is_jump]
    steps[is_jump] = (
        max(1, int(np.median(usual))) if len(usual) else max(1, round(Fraction(1, 25) / tick_sec))
    )
    return np.concatenate([pts[:1], pts[0] + np.cumsum(steps)])


def _make_timeline(
    pts: list[int | None], container: InputContainer, stream: VideoStream, last_ticks: int
) -> Timeline:
    # A decoder gives frames out in the order they are shown. Where their times step backwards (packed
    # B-frames) the same times, sorted, belong to them; where times are missing or repeated, only the frame
    # rate is left.
    tick_sec = stream.time_base
    if None not in pts and tick_sec is not None:
        given = np.array(pts, dtype=np.int64)
        has_clock_of_broadcast = container.format.name in _JUMPING_CONTAINERS
        ticks = close_jumps(given, tick_sec) if has_clock_of_broadcast else given
        if len(np.unique(ticks)) == len(ticks):
            # Behind a jump the clock is another one, and the start may be of that.
            file_start_sec = read_file_start(container) if (ticks == given).all() else None
            return make_timeline(ticks, tick_sec, last_ticks, file_start_sec)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return make_timeline(np.arange(len(pts)), 1 / Fraction(rate), 1)
