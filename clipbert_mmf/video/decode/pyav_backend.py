"""Reads frames with PyAV (FFmpeg): the backend that serves every file, and the reference for the others.

An MP4's sample tables tell the times of all frames; of other files all packets are read once, without
decoding, and their times make the timeline. Wanted frames then need only the packets from the key frame before
each of them, and of those only the ones that other frames refer to. Where packets do not tell the frames' times
(packed B-frames in AVI, transport streams), the stream is decoded once to learn them.
"""
# pyright: reportUnknownMemberType=false
# PyAV's own annotations leave the arguments of some methods open.

from __future__ import annotations

import io
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from clipbert_mmf.video.arrays import Indices, Picture
from clipbert_mmf.video.decode.full_pass import DecodedStream, decode_all, decode_in_order
from clipbert_mmf.video.decode.packets import (
    EXACT_CONTAINERS,
    PacketTable,
    iterate_packets,
    read_file_start,
    read_table,
)
from clipbert_mmf.video.decode.sample_tables import read_sample_table
from clipbert_mmf.video.decode.timeline import Timeline, VideoInfo, make_timeline
from clipbert_mmf.video.decode.upright import read_exif_turn, read_turn, turn_upright
from clipbert_mmf.video.errors import (
    MAX_MEGAPIXELS,
    DecodeError,
    EmptyMediaError,
    NoVideoStreamError,
    refuse_many_pixels,
)

_PYAV_MAJOR = int(av.__version__.split(".")[0])
#: Tags that are no UTF-8 are no reason to refuse a video; PyAV 19 never does.
_LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if _PYAV_MAJOR < 19 else {}
#: FFmpeg's mark of a stream that is not read.
_DISCARD_ALL: Any = 48
#: Colour matrices, as FFmpeg numbers them, that differ from BT.601 (5).
_OTHER_MATRICES = (1, 4, 7, 9)
#: FFmpeg opens images and text as one-frame "videos"; none of these is one.
_NOT_VIDEO = ("image2", "tty", "bin", "xbin", "adf", "idf")
#: Codecs in which a decoder may leave out frames that no other frame refers to, exactly and packet by packet.
_SKIPPABLE_CODECS = ("h264", "mpeg4", "mpeg2video", "mpeg1video")


class PyavReader:
    """One open video.

    Attributes:
        timeline: when its frames are shown.
        info: facts that are known before any frame is decoded.
        table: its packets.

    Args:
        source: the encoded bytes, or a file.
        num_threads: threads of the decoder.
        is_guide: another backend decodes: a file whose frames PyAV cannot decode is no error then, and its packets
            tell the times.
        max_megapixels: largest picture that is decoded.

    Raises:
        MediaError: when it is not a readable video; key and store are filled in by the caller.
    """

    def __init__(
        self,
        source: bytes | Path,
        num_threads: int = 1,
        is_guide: bool = False,
        max_megapixels: float = MAX_MEGAPIXELS,
    ):
        self._container = _open_container(source)
        try:
            self._stream = _choose_stream(self._container)
            self._context = self._stream.codec_context
            self._context.thread_count = num_threads
            refuse_many_pixels(self._context.width, self._context.height, max_megapixels)
            # For pictures that are larger than the container says.
            self._context.options["max_pixels"] = str(int(max_megapixels * 1e6))
            self._reformatter = VideoReformatter()
            self._turn: tuple[bool, bool, bool] | None = None
            _leave_out_others(self._container, self._stream)
            self.table = read_sample_table(source, self._container, self._stream) or _read_table(
                self._container, self._stream
            )
            self._decoded: DecodedStream | None = None
            self.timeline = self._learn_timeline(is_guide)
            self.info = self._describe()
        except BaseException:
            self.close()
            raise

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of how the stored pictures are laid out."""
        return self._context.pix_fmt or ""

    @property
    def stream_index(self) -> int:
        """Number of the stream that is read, among all of the file."""
        return self._stream.index

    @cached_property
    def exif_turn(self) -> tuple[bool, bool, bool] | None:
        """The turn that the encoded pictures tell themselves; None where they tell none."""
        first = self.table.first
        return None if first is None else read_exif_turn(bytes(first), self.table.codec)

    @property
    def is_mirrored(self) -> bool:
        """Whether the file says that its pictures are shown mirrored; decodes the first frame.

        Raises:
            MediaError: if that cannot be decoded.
        """
        if self._turn is None:
            next(self.frames(np.array([0])))
        assert self._turn is not None
        transpose, left_right, top_bottom = self._turn
        return (left_right != top_bottom) != transpose

    def close(self) -> None:
        """Release the file and the decoder."""
        self._container.close()

    def _learn_timeline(self, is_guide: bool) -> Timeline:
        table, tick_sec = self.table, self._stream.time_base
        if table.is_exact and tick_sec is not None:
            shown = table.known_pts[table.is_shown]
            return make_timeline(shown, tick_sec, table.last_ticks, read_file_start(self._container))
        try:
            self._decoded = decode_all(self._container, self._stream, table)
        except DecodeError:
            if not is_guide or table.pts is None or tick_sec is None or not table.is_shown.any():
                raise
            shown = np.unique(table.pts[table.is_shown])
            return make_timeline(shown, tick_sec, table.last_ticks, read_file_start(self._container))
        return self._decoded.timeline

    def _describe(self) -> VideoInfo:
        start_sec, end_sec = self.timeline.start_sec, self.timeline.duration_sec
        duration = end_sec - start_sec
        rate = self._stream.average_rate
        # A constant rate is known better than counted: Matroska rounds the times it is counted from.
        fps = self.timeline.num_frames / duration if duration > 0 else float(rate or 25)
        if rate and abs(float(rate) - fps) < 0.01 * fps:
            fps = float(rate)
        return VideoInfo(
            duration_sec=end_sec,
            fps=fps,
            num_frames=self.timeline.num_frames,
            width=self._stream.codec_context.width,
            height=self._stream.codec_context.height,
            codec=self.table.codec,
            container=self.table.container,
            start_sec=start_sec,
        )

    def frames(self, wanted: Indices) -> Iterator[tuple[int, Picture]]:
        """Decode frames.

        Args:
            wanted: sorted, distinct frame indices of the timeline.

        Yields:
            Frame index and ``(H, W, 3)`` uint8 RGB, upright, in any order.

        Raises:
            DecodeError: if one of them cannot be decoded.
        """
        if self._decoded is None:
            found = yield from self._decode_runs(wanted)
            wanted = np.setdiff1d(wanted, found)
            if not len(wanted):
                return
            # A packet held no frame, or its key mark was wrong: look again, the slow and sure way.
            yield from self._decode_surely(wanted)
            return
        yield from self._pick_decoded(self._decoded, wanted)

    def _decode_runs(self, wanted: Indices) -> Generator[tuple[int, Picture], None, Indices]:
        index_of_pts = {int(self.timeline.ticks[index]): int(index) for index in wanted}
        found: list[int] = []
        for start, stop in self.table.plan_runs(list(index_of_pts)):
            for frame in self._decode_packets(start, stop, index_of_pts):
                index = None if frame.pts is None else index_of_pts.get(frame.pts)
                if index is not None and not frame.is_corrupt and index not in found:
                    found.append(index)
                    yield index, self._to_rgb(frame)
        return np.array(found, dtype=np.int64)

    def _decode_packets(self, start: int, stop: int, wanted_pts: dict[int, int]) -> Iterator[av.VideoFrame]:
        context, table = self._context, self.table
        can_skip, is_skipping = table.codec in _SKIPPABLE_CODECS, False
        number = start
        try:
            for packet in iterate_packets(self._container, self._stream, table, start, stop):
                if number == start and not packet.is_keyframe:
                    return  # its key mark was wrong
                if can_skip and is_skipping != (packet.pts not in wanted_pts):
                    is_skipping = not is_skipping
                    context.skip_frame = "NONREF" if is_skipping else "DEFAULT"
                yield from context.decode(packet)
                number += 1
            yield from context.decode(None)
        except FFmpegError as error:
            raise DecodeError(
                f"decoding breaks at packet {number} of {len(table)}: {error.strerror}"
            ) from error
        finally:
            context.skip_frame = "DEFAULT"
            context.flush_buffers()

    def _decode_surely(self, wanted: Indices) -> Iterator[tuple[int, Picture]]:
        decoded = self._decoded = decode_all(self._container, self._stream, self.table)
        times = self.timeline.times_sec[wanted]
        for index, frame in zip(wanted, decoded.timeline.frames_at(times), strict=True):
            for _, picture in self._pick_decoded(decoded, np.array([frame])):
                yield int(index), picture

    def _pick_decoded(self, decoded: DecodedStream, wanted: Indices) -> Iterator[tuple[int, Picture]]:
        if len(wanted) and int(wanted[-1]) >= decoded.num_good:
            raise DecodeError(
                f"decoding breaks after {decoded.num_good} of {decoded.timeline.num_frames} frames"
            )
        if decoded.kept is not None:
            for index in wanted:
                yield int(index), self._to_rgb(decoded.kept[int(index)])
            return
        remaining = {int(index) for index in wanted}
        for number, frame in enumerate(decode_in_order(self._container, self._stream, self.table)):
            if number in remaining:
                remaining.discard(number)
                yield number, self._to_rgb(frame)
            if not remaining:
                break

    def _to_rgb(self, frame: av.VideoFrame) -> Picture:
        if self._turn is None:
            self._turn = read_turn(frame, self.exif_turn)
        try:
            # Left alone, the converter starts a thread for each core, for each video.
            options = _describe_colours(frame) if _PYAV_MAJOR < 17 else {"threads": 1}
            picture = cast(Picture, self._reformatter.reformat(frame, format="rgb24", **options).to_ndarray())
        except (ValueError, MemoryError) as error:
            raise DecodeError(f"its pictures cannot be made RGB: {error}") from error
        return turn_upright(picture, self._turn)


def _describe_colours(frame: av.VideoFrame) -> dict[str, int]:
    """Return arguments of the reformatter: before 17 it takes every picture for BT.601 of limited range."""
    if frame.format.is_rgb:
        return {}
    is_full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    matrix = int(frame.colorspace)
    return {
        # Conversion is set up only where both differ; 6 is BT.601 by another number.
        "src_colorspace": matrix if matrix in _OTHER_MATRICES else 6,
        "dst_colorspace": 5,
        "src_color_range": 2 if is_full else 1,
        "dst_color_range": 1,
    }


def _open_container(source: bytes | Path) -> InputContainer:
    # "file:" keeps a name with a colon from being taken for a protocol; the list keeps playlists from opening
    # others. Not as "options": PyAV before 17 gives those to each stream and crashes when MPEG's streams are
    # found later.
    target = (
        io.BytesIO(source)
        if isinstance(source, (bytes, bytearray, memoryview))
        else f"file:{os.fspath(source)}"
    )
    try:
        container = av.open(target, "r", container_options={"protocol_whitelist": "file"}, **_LENIENT)
    except FFmpegError as error:
        raise DecodeError(f"cannot be opened as a video: {error.strerror}") from error
    name = container.format.name
    if name in _NOT_VIDEO or name.endswith("_pipe"):
        container.close()
        raise NoVideoStreamError(f"not a video (FFmpeg calls it '{name}')")
    return container


def _choose_stream(container: InputContainer) -> VideoStream:
    """Return the first video stream that is no cover picture."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            # PyAV's annotations do not know of a stream that FFmpeg has no decoder for.
            if stream.codec_context is None:  # pyright: ignore[reportUnnecessaryComparison]
                raise DecodeError("no decoder for its video stream")
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
    raise NoVideoStreamError(f"no video stream (streams: {kinds})")


def _leave_out_others(container: InputContainer, wanted: VideoStream) -> None:
    """Keep FFmpeg from reading sound and other streams, where PyAV (from 17 or 18) can say so."""
    if not any(name in EXACT_CONTAINERS for name in container.format.name.split(",")):
        return
    for stream in container.streams:
        if stream.index != wanted.index and hasattr(stream, "discard"):
            stream.discard = _DISCARD_ALL


def _read_table(container: InputContainer, stream: VideoStream) -> PacketTable:
    try:
        table = read_table(container, stream)
    except FFmpegError as error:
        raise DecodeError(f"reading the container breaks: {error.strerror}") from error
    if not len(table):
        raise EmptyMediaError("its video stream holds no frame")
    return table


@contextmanager
def open_pyav(
    source: bytes | Path,
    num_threads: int = 1,
    is_guide: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Generator[PyavReader, None, None]:
    """Open a video for reading and close it again; ``PyavReader`` has the arguments.

    Raises:
        MediaError: when it is not a readable video, or when FFmpeg fails while it is read.
    """
    reader = PyavReader(source, num_threads, is_guide, max_megapixels)
    try:
        yield reader
    except FFmpegError as error:
        raise DecodeError(f"decoding breaks: {error.strerror}") from error
    finally:
        reader.close()


def read_with_pyav(
    source: bytes | Path, reader: PyavReader, wanted: Indices, num_threads: int
) -> Iterator[tuple[int, Picture]]:
    """Decode frames with the reader that is open already; a ``backend.Backend``."""
    return reader.frames(wanted)
