"""The compressed packets of a video stream: which can be trusted to be one frame each, and what must be decoded.

Reading packets is a hundred times cheaper than decoding them. Their presentation times tell every frame's time before
anything is decoded, and their key marks tell where decoding may start.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

#: Containers whose packets carry presentation times, one packet per frame.
_EXACT_CONTAINERS = ("mp4", "matroska", "gif")
#: Codecs whose packets may hold no frame or more than one, whatever the container.
_INEXACT_CODECS = ("vp8",)


@dataclass(frozen=True)
class PacketTable:
    """The packets of one stream, in decoding order.

    Attributes:
        packets: the packets themselves.
        pts: presentation times in ticks; None where the container has none for some packet.
        is_key: (num_packets,) bool: decoding may start here.
        is_shown: (num_packets,) bool: False for packets an edit list decodes but does not show.
        last_ticks: duration of the packet shown last, 0 where unknown.
        container: FFmpeg's name.
        codec: FFmpeg's name of the format, whichever decoder reads it.
    """

    packets: list[av.Packet]
    pts: np.ndarray | None
    is_key: np.ndarray
    is_shown: np.ndarray
    last_ticks: int
    container: str
    codec: str

    @property
    def is_exact(self) -> bool:
        """Whether the packets' times are the frames' times, without decoding any."""
        if self.pts is None or not self.is_shown.any() or not self.is_key[0]:
            return False
        if not any(name in self.container.split(",") for name in _EXACT_CONTAINERS) or self.codec in _INEXACT_CODECS:
            return False
        # A frame shown before the first key frame refers to something that is not in the file.
        return len(np.unique(self.pts)) == len(self.pts) and int(self.pts[0]) == int(self.pts.min())

    @property
    def has_leading_frames(self) -> bool:
        """Whether a frame is decoded after a key frame but shown before it (an open group of pictures)."""
        shown_from = np.maximum.accumulate(np.where(self.is_key, self.pts, self.pts.min()))
        return bool((self.pts < shown_from).any())

    def find_start(self, packet: int) -> int:
        """Return the last packet, up to this one, from which this one's frame can be decoded.

        A frame that is decoded after a key frame but shown before it may refer to frames before the key frame.
        """
        keys = np.flatnonzero(self.is_key[: packet + 1] & (self.pts[: packet + 1] <= self.pts[packet]))
        return int(keys[-1]) if len(keys) else 0


def read_packets(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> PacketTable:
    """Read all packets of a stream; decodes nothing.

    Raises:
        av.error.FFmpegError: when the container breaks off with an error.
    """
    packets = [packet for packet in container.demux(stream) if packet.size]
    pts = [packet.pts for packet in packets]
    known = None if None in pts else np.array(pts, dtype=np.int64)
    last = None if known is None or not len(packets) else packets[int(known.argmax())].duration
    return PacketTable(
        packets=packets,
        pts=known,
        is_key=np.array([packet.is_keyframe for packet in packets], dtype=bool),
        is_shown=np.array([not packet.is_discard for packet in packets], dtype=bool),
        last_ticks=int(last or 0),
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
    )
