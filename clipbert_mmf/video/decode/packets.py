"""Reads the compressed packets of a video stream: which are one frame each, and where decoding may start.

Reading packets is a hundred times cheaper than decoding them. Their presentation times tell every frame's
time before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from clipbert_mmf.video.arrays import Indices

#: Containers whose packets carry presentation times, one packet per frame.
EXACT_CONTAINERS = ("mp4", "matroska", "gif")
#: Codecs whose packets may hold no frame or more than one, whatever the container.
_INEXACT_CODECS = ("vp8",)
#: Packets of longer videos are not kept but read again where they are wanted, so that a worker's memory is
#: bounded.
MAX_KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class PacketTable:
    """The packets of one stream, in decoding order.

    Attributes:
        pts: presentation times in ticks; None where the container has none for some packet.
        dts: decoding times in ticks, 0 where the container has none.
        is_key: (num_packets,) bool: decoding may start here.
        is_shown: (num_packets,) bool: False for packets an edit list decodes but does not show.
        last_ticks: duration of the packet shown last, 0 where unknown.
        container: FFmpeg's name.
        codec: FFmpeg's name of the format, whichever decoder reads it.
        kept: the packets themselves, or None if they are too many bytes.
        first: the first packet; None where there is none.
    """

    pts: Indices | None
    dts: Indices
    is_key: npt.NDArray[np.bool_]
    is_shown: npt.NDArray[np.bool_]
    last_ticks: int
    container: str
    codec: str
    kept: list[av.Packet[VideoStream]] | None
    first: av.Packet[VideoStream] | None = None

    def __len__(self) -> int:
        return len(self.is_key)

    @property
    def known_pts(self) -> Indices:
        """``pts`` of a table that has them, as every exact one does."""
        assert self.pts is not None
        return self.pts

    @property
    def is_exact(self) -> bool:
        """True where the packets' times are the frames' times, so that nothing need be decoded to learn them."""
        if self.pts is None or not self.is_shown.any() or not self.is_key[0]:
            return False
        if (
            not any(name in self.container.split(",") for name in EXACT_CONTAINERS)
            or self.codec in _INEXACT_CODECS
        ):
            return False
        # A frame shown before the first key frame refers to something that is not in the file.
        ticks = np.sort(self.pts)
        return bool((ticks[1:] > ticks[:-1]).all()) and int(self.pts[0]) == int(ticks[0])

    @property
    def has_leading_frames(self) -> bool:
        """True where a frame is decoded after a key frame but shown before it (an open group of pictures)."""
        shown_from = np.maximum.accumulate(np.where(self.is_key, self.known_pts, self.known_pts.min()))
        return bool((self.known_pts < shown_from).any())

    def find_start(self, packet: int) -> int:
        """Return the last packet, up to this one, from which this one's frame can be decoded.

        A frame that is decoded after a key frame but shown before it may refer to frames before the key
        frame.
        """
        keys = np.flatnonzero(
            self.is_key[: packet + 1] & (self.known_pts[: packet + 1] <= self.known_pts[packet])
        )
        return int(keys[-1]) if len(keys) else 0

    def plan_runs(self, wanted_pts: list[int]) -> list[tuple[int, int]]:
        """Return the stretches of packets ``[start, stop)`` that hold all wanted frames, apart and in order."""
        order = np.argsort(self.known_pts)
        packets = order[np.searchsorted(self.known_pts, wanted_pts, sorter=order)].tolist()
        runs: list[list[int]] = []
        for start, stop in sorted((self.find_start(packet), packet + 1) for packet in packets):
            if runs and start < runs[-1][1]:
                runs[-1][1] = max(runs[-1][1], stop)
            else:
                runs.append([start, stop])
        return [(start, stop) for start, stop in runs]


def read_table(container: InputContainer, stream: VideoStream) -> PacketTable:
    """Read all packets of a stream; decodes nothing.

    Raises:
        av.error.FFmpegError: when the container breaks off with an error.
    """
    kept: list[av.Packet[VideoStream]] | None = []
    pts: list[int | None] = []
    dts: list[int] = []
    is_key: list[bool] = []
    is_shown: list[bool] = []
    num_bytes, last_ticks = 0, 0
    last_pts: int | None = None
    first: av.Packet[VideoStream] | None = None
    for packet in container.demux(stream):
        if not packet.size:
            continue
        first = first or packet
        pts.append(packet.pts)
        dts.append(packet.dts or 0)
        is_key.append(packet.is_keyframe)
        is_shown.append(not packet.is_discard)
        if packet.pts is not None and (last_pts is None or packet.pts > last_pts):
            last_pts, last_ticks = packet.pts, packet.duration or 0
        if kept is not None:
            kept.append(packet)
            num_bytes += packet.size
            if num_bytes > MAX_KEPT_BYTES:
                kept = None
    return PacketTable(
        pts=None if None in pts else np.array(pts, dtype=np.int64),
        dts=np.array(dts, dtype=np.int64),
        is_key=np.array(is_key, dtype=bool),
        is_shown=np.array(is_shown, dtype=bool),
        last_ticks=last_ticks,
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        kept=kept,
        first=first,
    )


def read_file_start(container: InputContainer) -> float | None:
    """Return the time at which the file starts, by any of its streams; None where it has no such clock."""
    start: int | None = container.start_time
    # PyAV's annotations do not know of a container without a start.
    if start is None or "avi" in container.format.name.split(","):  # pyright: ignore[reportUnnecessaryComparison]
        return None
    # Sound that begins before 0 is what its codec needs to start, and is not heard.
    return max(0, start) / av.time_base


def iterate_packets(
    container: InputContainer,
    stream: VideoStream,
    table: PacketTable,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[av.Packet[VideoStream]]:
    """Yield the packets ``[start, stop)``, from memory or from the container."""
    stop = len(table) if stop is None else stop
    if table.kept is not None:
        yield from table.kept[start:stop]
        return
    number, packets = _seek(container, stream, table, start)
    for packet in packets:
        if not packet.size:
            continue
        if number >= stop:
            break
        if number >= start:
            yield packet
        number += 1


def _seek(
    container: InputContainer, stream: VideoStream, table: PacketTable, start: int
) -> tuple[int, Iterator[av.Packet[VideoStream]]]:
    """Go to ``start`` or before it; return the packets from there on and the number of the first."""
    if start:
        # Containers seek by presentation times; FFmpeg's MP4 turns them into decoding times itself.
        times = table.dts if table.pts is None else table.pts
        container.seek(int(times[start]), stream=stream, backward=True, any_frame=False)
        packets = container.demux(stream)
        first = next((packet for packet in packets if packet.size), None)
        if first is not None:
            matches = np.flatnonzero((table.dts == (first.dts or 0)) & (table.pts == first.pts))
            if len(matches) == 1 and int(matches[0]) <= start:
                return int(matches[0]), chain((first,), packets)
    container.seek(
        int(min(table.dts[0], 0 if table.pts is None else table.pts.min())), stream=stream, backward=True
    )
    return 0, container.demux(stream)
