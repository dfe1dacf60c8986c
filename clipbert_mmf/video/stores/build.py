"""Turns one store into another.

A folder into LMDB or tar shards, re-encoded if wished, and back out to files.

Parallel and resumable: what is safely in the target is skipped. Ends with a report of size and reading speed.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from clipbert_mmf.json_text import format_json, parse_json
from clipbert_mmf.video.arrays import Times
from clipbert_mmf.video.decode import VideoInfo, describe_video, read_frames
from clipbert_mmf.video.endings import ALL_ENDINGS, MEDIA_ENDINGS, ending_of
from clipbert_mmf.video.errors import MediaError, StoreError
from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.images import is_image, read_image
from clipbert_mmf.video.parallel import Mapper, map_in_threads
from clipbert_mmf.video.sampling import sample_clips
from clipbert_mmf.video.sources import read_source
from clipbert_mmf.video.stores.base import MediaStore, resolve_location
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.stores.reencode import Encoding, reencode_video
from clipbert_mmf.video.stores.writers import WRITERS
from clipbert_mmf.writing import naming, write_text_atomically

logger = logging.getLogger(__name__)

#: Written beside the media: how they were made. Hidden, so that no store takes it for a medium.
_SETTINGS_NAME = ".build.json"
_SOURCES_NAME = ".sources.jsonl"
_EXTENSIONS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"\x1a\x45\xdf\xa3": ".mkv",
    b"RIFF": ".avi",
    b"FLV\x01": ".flv",
    b"\x00\x00\x01\xba": ".mpg",
}


@dataclass
class BuildReport:
    """Counts of one build.

    Attributes:
        num_media: in the target at the end.
        num_written: in this run.
        num_skipped: there before, made from what the source holds now.
        num_removed: taken out, because the source no longer has them.
        failed: key -> reason.
        bytes_in: bytes that this run read.
        bytes_out: bytes that this run wrote.
        seconds: duration of this run.
        read_ms_before: median time of 8 random frames from the source, 0 where there is nothing to measure.
        read_ms_after: the same from the target.
    """

    num_media: int = 0
    num_written: int = 0
    num_skipped: int = 0
    num_removed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    read_ms_before: float = 0.0
    read_ms_after: float = 0.0


def build_store(
    source: MediaStore,
    target: Path,
    kind: str,
    *,
    encoding: Encoding | None = None,
    num_workers: int = 1,
    verifies: bool = False,
    advance: Callable[[int], object] = lambda count: None,
    mapper: Mapper | None = None,
    **writer_options: int,
) -> BuildReport:
    """Make the target hold every medium of the source as it is now.

    What is there and did not change is skipped, what was replaced is built again, and what this source no longer
    has is taken out. What came from another source stays.

    Args:
        source: the store to read.
        target: folder of the new store.
        kind: kind of the new store, a key of ``WRITERS``.
        encoding: settings to re-encode videos with, or None to copy their bytes; images are always copied.
        num_workers: media read and re-encoded at the same time.
        verifies: look at each medium first: one that is empty, cut, no medium, or still being written is not taken.
        advance: told how many media are done, for a progress bar.
        mapper: where media are read and re-encoded; None takes threads of this process.
        writer_options: arguments of the writer, such as ``shard_bytes``.

    Raises:
        ValueError: for an unknown kind, a target inside the source, or one that was begun with another encoding.
    """
    if kind not in WRITERS:
        raise ValueError(f"kind of store is '{kind}'; allowed are {', '.join(sorted(WRITERS))}")
    _require_apart(source, target)
    start, report, keys = time.perf_counter(), BuildReport(), source.keys()
    with WRITERS[kind](target, **writer_options) as writer:
        _check_settings(target, kind, encoding)
        journal = _SourceJournal(target, source)
        done = writer.done_keys()
        stale = journal.find_stale(done, keys)
        if stale:
            writer.remove(stale)
            done -= stale
            report.num_removed = len(stale.difference(keys))
        left = [key for key in keys if key not in done]
        report.num_skipped = len(keys) - len(left)
        advance(report.num_skipped)
        map_media = mapper or partial(map_in_threads, num_workers=num_workers)
        for made in map_media(_Converter(source, encoding, verifies), left):
            advance(1)
            if made.reason:
                report.failed[made.key] = made.reason
                continue
            # The line comes first: a build that is killed now builds the medium again, since the store lacks it.
            journal.add(made.key, made.stamp)
            try:
                writer.put(made.key, made.extension, made.data)
            except MediaError as error:
                report.failed[made.key] = f"{type(error).__name__}: {error.reason}"
                continue
            report.num_written += 1
            report.bytes_in += made.num_bytes
            report.bytes_out += len(made.data)
    report.seconds = round(time.perf_counter() - start, 3)
    report.num_media = report.num_skipped + report.num_written
    measure_reading(source, open_store(target, kind), report)
    return report


def _require_apart(source: MediaStore, target: Path) -> None:
    """Refuse a target in the source's folder: the next build, and every dataset, would find all media twice."""
    if source.location and "://" not in source.location and os.path.isdir(source.location):
        folder, own = Path(source.location).resolve(), target.resolve()
        if folder == own or folder in own.parents:
            raise ValueError(
                f"the target {target} lies in the source {source.location}; give a folder outside of it"
            )


class _SourceJournal:
    """Remembers from which state of which source each medium of a target was made.

    Args:
        target: folder of the store, which keeps the journal in a hidden file.
        source: the store that is read.
    """

    def __init__(self, target: Path, source: MediaStore):
        self._path = target / _SOURCES_NAME
        self._source = source
        self._place = resolve_location(source.location)
        self._known: dict[str, tuple[str, str]] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = parse_json(line)
                    self._known[entry["key"]] = (entry["source"], entry["stamp"])
                except (ValueError, KeyError, TypeError):
                    # A line that a kill cut: its medium is built again.
                    continue

    def find_stale(self, done: set[str], keys: list[str]) -> set[str]:
        """Return the media of the target that the source holds no longer, or in another state."""
        stale = {key for key in done.intersection(keys) if not self._is_current(key)}
        gone = done.difference(keys)
        return stale | {key for key in gone if self._known.get(key, ("",))[0] == self._place}

    def _is_current(self, key: str) -> bool:
        try:
            stamp = self._source.stamp(key)
        except (MediaError, OSError):
            return False
        return bool(stamp) and self._known.get(key) == (self._place, stamp)

    def add(self, key: str, stamp: str) -> None:
        """Note the state that a medium is made from."""
        line = json.dumps({"key": key, "source": self._place, "stamp": stamp}, ensure_ascii=False)
        with naming(self._path), self._path.open("a", encoding="utf-8") as lines:
            # On a line of its own, also after one that a kill cut.
            lines.write(f"\n{line}\n" if lines.tell() else f"{line}\n")


@dataclass(frozen=True)
class _Made:
    """One medium on its way: its state in the source, its encoded bytes, or why there are none."""

    key: str
    stamp: str = ""
    num_bytes: int = 0
    extension: str = ""
    data: bytes = b""
    reason: str = ""


class _Converter:
    """Reads one medium and re-encodes it."""

    def __init__(self, source: MediaStore, encoding: Encoding | None, verifies: bool = False):
        self.source = source
        self.encoding = encoding
        self.verifies = verifies

    def __call__(self, key: str) -> _Made:
        try:
            stamp = self.source.stamp(key)
            found = self.source.read(key)
            if isinstance(found, FrameFolder):
                reason = "a folder of frames: make a video of it first, for example with ffmpeg"
                return _Made(key, reason=f"StoreError: {reason}")
            data = found if isinstance(found, bytes) else read_source(found)
            extension = found.suffix if isinstance(found, Path) else ending_of(key)
            if self.verifies:
                _verify(data, extension.lower())
                if self.source.stamp(key) != stamp:
                    return _Made(key, reason="StoreError: it changed while it was read; build again later")
            extension = extension if extension.lower() in ALL_ENDINGS else guess_extension(data)
            if self.encoding is None or is_image(data[:16]):
                return _Made(key, stamp, len(data), extension, data)
            return _Made(key, stamp, len(data), ".mp4", reencode_video(data, self.encoding))
        except Exception as error:  # whatever one file makes a library throw, the build goes on with the next
            return _Made(key, reason=f"{type(error).__name__}: {getattr(error, 'reason', error)}")


def _verify(data: bytes, ending: str) -> None:
    """Raise ``MediaError`` for bytes that training could not read; no more than the first picture is decoded."""
    # A picture under a video's name is read as a video, and is none.
    if is_image(data[:16]) and ending not in MEDIA_ENDINGS["video"] - MEDIA_ENDINGS["image"]:
        read_image(data)
    else:
        describe_video(data)


def guess_extension(data: bytes) -> str:
    """Return a file name's extension for encoded bytes; ``.mp4`` where they do not tell."""
    if data[8:12] == b"WEBP":
        return ".webp"
    return next((extension for magic, extension in _EXTENSIONS.items() if data.startswith(magic)), ".mp4")


def measure_reading(before: MediaStore, after: MediaStore, report: BuildReport, num_media: int = 8) -> None:
    """Time 8 random frames of a few videos in both stores, in turn, and add the medians to the report."""
    keys = after.keys()
    times: list[tuple[float, float]] = []
    for key in keys[:: max(1, len(keys) // num_media)][:num_media]:
        try:
            times.append((_time_reading(before, key), _time_reading(after, key)))
        except MediaError as error:
            logger.debug("not measured: %s", error)
    if times:
        report.read_ms_before, report.read_ms_after = (
            round(1e3 * statistics.median(column), 2) for column in zip(*times, strict=True)
        )


def _time_reading(store: MediaStore, key: str) -> float:
    def choose_times(info: VideoInfo) -> Times:
        rng = np.random.default_rng(0)
        return sample_clips("random", info.duration_sec, 8, 1, 1.0, rng, start_sec=info.start_sec)

    start = time.perf_counter()
    source = store.read(key)
    if isinstance(source, FrameFolder):
        raise StoreError("a folder of frames is not measured", key)
    read_frames(source, choose_times, key=key, store=store.location)
    return time.perf_counter() - start


def _check_settings(target: Path, kind: str, encoding: Encoding | None) -> None:
    path = Path(target) / _SETTINGS_NAME
    settings = {"kind": kind, "encoding": asdict(encoding) if encoding else None}
    if path.exists():
        try:
            begun = parse_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged ({error}), and how {target} was made is not known; build into another folder"
            ) from error
        if begun != settings:
            raise ValueError(
                f"{target} was begun with {begun}; now it is {settings}. Use the same or another folder"
            )
        return
    write_text_atomically(json.dumps(settings), path)


def report_path(target: Path) -> Path:
    """Return where the report of a build into ``target`` is written: beside it."""
    return target.with_name(f"{target.name}.report.json")


def write_report(report: BuildReport, path: Path) -> None:
    """Write the report as JSON."""
    with naming(path):
        path.write_text(format_json(asdict(report), 1) + "\n", encoding="utf-8")


def describe_report(report: BuildReport) -> str:
    """Return the report as one sentence."""
    size = (
        f", {report.bytes_in / 2**20:.1f} to {report.bytes_out / 2**20:.1f} MiB" if report.num_written else ""
    )
    speed = ""
    if report.read_ms_after:
        gain = report.read_ms_before / report.read_ms_after
        before, after = f"{report.read_ms_before:.1f} ms", f"{report.read_ms_after:.1f} ms"
        speed = f"; 8 random frames in {after}, before {before} ({gain:.1f}x)"
    removed = f"{report.num_removed} removed, " if report.num_removed else ""
    return (
        f"{report.num_media} media ({report.num_written} new, {report.num_skipped} there before, {removed}"
        f"{len(report.failed)} failed){size} in {report.seconds:.1f} s{speed}"
    )
