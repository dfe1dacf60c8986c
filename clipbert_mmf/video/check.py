"""Opens every medium of a store before a run does, and reports the broken ones with reasons and pictures.

Each medium is read in a reader process under the watchdog: first, last and random frames. Every finding is a
line of a journal, so that a check that was ended goes on where it stopped. A line counts for the store, the
state of the medium and the settings that it was found with, and for nothing else.
"""
# pyright: reportUnknownMemberType=false
# torch's own annotations leave the arguments of some methods open.

from __future__ import annotations

import base64
import io
import json
import logging
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import av
import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from clipbert_mmf.json_text import format_json
from clipbert_mmf.version import __version__
from clipbert_mmf.video.arrays import Times
from clipbert_mmf.video.contact_sheet import write_contact_sheet
from clipbert_mmf.video.decode import BACKENDS
from clipbert_mmf.video.decode.timeline import VideoInfo
from clipbert_mmf.video.endings import MEDIA_ENDINGS, ending_of
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.findings import Finding, StoreTotals, read_journal, sum_findings
from clipbert_mmf.video.frame_folders import DEFAULT_FRAMES_FPS, FrameFolder
from clipbert_mmf.video.images import is_image
from clipbert_mmf.video.parallel import Mapper, map_in_threads
from clipbert_mmf.video.sources import read_head
from clipbert_mmf.video.stores.base import MediaStore, resolve_location
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.watchdog import GuardedReader, ReaderStartError
from clipbert_mmf.writing import naming, write_text_atomically

logger = logging.getLogger(__name__)

#: Height of a thumbnail in the contact sheet, pixels.
THUMBNAIL_PX = 72


class StoreChecker:
    """Checks media of one store.

    Args:
        store: the media.
        num_random: frames to decode beside the first and the last.
        timeout_sec: longest time for one medium.
        backend: decoder of videos.
        media: ``video`` or ``image``, as a dataset would read them; None goes by each file's ending, then by its
            first bytes.
    """

    def __init__(
        self,
        store: MediaStore,
        num_random: int = 2,
        timeout_sec: float = 60.0,
        backend: str = "auto",
        media: str | None = None,
    ):
        self.store = store
        self.num_random = num_random
        self.timeout_sec = timeout_sec
        self.backend = backend
        self.media = media
        self.place = resolve_location(store.location)
        self.settings = (
            f"{num_random} random frames, {backend}, {media}, {timeout_sec:g} s, clipbert_mmf {__version__}, PyAV "
            f"{av.__version__}, "
            f"Pillow {PIL.__version__}"
        )
        self._local = threading.local()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_local": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._local = threading.local()

    def find_known(self, journal: Path) -> dict[str, Finding]:
        """Return key to finding of the media that the journal knows as they are now."""
        found = {
            (finding.key, finding.stamp): finding
            for finding in read_journal(journal)
            if (finding.store, finding.settings) == (self.place, self.settings)
        }
        known: dict[str, Finding] = {}
        for key in dict.fromkeys(key for key, _ in found):
            if (now := found.get((key, self._read_stamp(key)))) and now.stamp:
                known[key] = now
        return known

    def _read_stamp(self, key: str) -> str:
        try:
            return self.store.stamp(key)
        except (MediaError, OSError):
            return ""

    def check(self, key: str) -> Finding:
        """Read one medium; whatever is wrong with it becomes the finding's reason."""
        # The stamp comes first: a file that changes while it is read is read again the next time.
        finding = Finding(key, store=self.place, stamp=self._read_stamp(key), settings=self.settings)
        try:
            source = self.store.read(key)
            if isinstance(source, FrameFolder):
                return self._check_frames(finding, source)
            head = read_head(source)
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            kind = self._choose_kind(key if isinstance(source, bytes) else source.name, head)
            finding = replace(finding, num_bytes=size, kind=kind)
            check = self._check_image if kind == "image" else self._check_video
            return check(finding, source)
        except ReaderStartError:
            # No fault of the medium.
            raise
        except Exception as error:  # whatever one file makes a library throw, the check goes on with the next
            return replace(finding, reason=f"{type(error).__name__}: {getattr(error, 'reason', error)}")

    def _choose_kind(self, name: str, head: bytes) -> str:
        """Return how a dataset would read the file."""
        if self.media:
            return self.media
        kinds = [kind for kind, endings in MEDIA_ENDINGS.items() if ending_of(name) in endings]
        return kinds[0] if len(kinds) == 1 else "image" if is_image(head) else "video"

    def _guard(self) -> GuardedReader:
        """Return the reader process of this thread."""
        if not hasattr(self._local, "reader"):
            self._local.reader = GuardedReader(self.timeout_sec)
        return self._local.reader

    def _check_image(self, finding: Finding, source: bytes | Path) -> Finding:
        picture = self._guard().read_image(source, key=finding.key, store=self.store.location)
        _, height, width = picture.shape
        strip = _encode_strip(make_thumbnail(picture.permute(1, 2, 0))[None])
        return replace(finding, num_frames=1, width=width, height=height, strip=strip)

    def _check_frames(self, finding: Finding, folder: FrameFolder) -> Finding:
        """Read the first, the last and some random images of a folder of frames."""
        paths = folder.list_frames()
        rng = np.random.default_rng(zlib.crc32(finding.key.encode()))
        between = np.sort(rng.integers(0, len(paths), self.num_random)).tolist()
        chosen = [paths[number] for number in (0, *between, -1)]
        pictures = [
            self._guard().read_image(path, key=f"{finding.key}/{path.name}", store=self.store.location)
            for path in chosen
        ]
        _, height, width = pictures[0].shape
        strip = torch.stack([make_thumbnail(picture.permute(1, 2, 0)) for picture in pictures])
        return replace(
            finding,
            num_bytes=sum(path.stat().st_size for path in paths),
            duration_sec=len(paths) / DEFAULT_FRAMES_FPS,
            fps=DEFAULT_FRAMES_FPS,
            num_frames=len(paths),
            width=width,
            height=height,
            container="frames",
            strip=_encode_strip(strip),
        )

    def _check_video(self, finding: Finding, source: bytes | Path) -> Finding:
        seen: list[VideoInfo] = []
        # The same frames each time, whatever was checked before.
        rng = np.random.default_rng(zlib.crc32(finding.key.encode()))

        def choose_times(info: VideoInfo) -> Times:
            seen.append(info)
            between = np.sort(rng.uniform(info.start_sec, info.duration_sec, self.num_random))
            return np.array([info.start_sec, *between, info.duration_sec])

        thumbnails = self._guard().read_frames(
            source,
            choose_times,
            backend=self.backend,
            key=finding.key,
            store=self.store.location,
            transform=make_thumbnail,
        )
        return replace(finding, strip=_encode_strip(thumbnails), **asdict(seen[0]))


def make_thumbnail(frame: Tensor) -> Tensor:
    """Shrink an ``(H, W, 3)`` uint8 picture to ``(3, THUMBNAIL_PX, w)``."""
    height, width = frame.shape[:2]
    size = (min(max(1, width * THUMBNAIL_PX // height), 4 * THUMBNAIL_PX), THUMBNAIL_PX)
    small = Image.fromarray(frame.contiguous().numpy()).resize(
        size, Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    return torch.from_numpy(np.array(small)).permute(2, 0, 1)


def check_store(
    store: MediaStore,
    journal: Path,
    *,
    num_workers: int = 1,
    num_random: int = 2,
    timeout_sec: float = 60.0,
    keys: Sequence[str] | None = None,
) -> Iterator[Finding]:
    """Check every medium that the journal does not know as it is now, and add each finding to it.

    Args:
        store: the media.
        journal: JSON-lines file, made if it is not there.
        num_workers: media at the same time, each in its own reader process.
        num_random: frames to decode beside the first and the last.
        timeout_sec: longest time for one medium.
        keys: media to check; None for all of the store.

    Yields:
        New findings, in the order of the keys.
    """
    checker = StoreChecker(store, num_random, timeout_sec)
    known = checker.find_known(journal)
    left = [key for key in (store.keys() if keys is None else keys) if key not in known]
    yield from _check_left(checker, journal, left, num_workers)


def _check_left(
    checker: StoreChecker, journal: Path, left: Sequence[str], num_workers: int, mapper: Mapper | None = None
) -> Iterator[Finding]:
    with naming(journal):
        journal.parent.mkdir(parents=True, exist_ok=True)
        lines = journal.open("a", encoding="utf-8")
    with lines:
        map_media = mapper or partial(map_in_threads, num_workers=num_workers)
        for finding in map_media(checker.check, left):
            with naming(journal):
                lines.write(format_json(asdict(finding)) + "\n")
                lines.flush()
            yield finding


def check_into_folder(
    location: str,
    folder: Path,
    *,
    num_workers: int = 1,
    num_random: int = 2,
    timeout_sec: float = 60.0,
    is_fresh: bool = False,
    backend: str = "auto",
    media: str | None = None,
    mapper: Mapper | None = None,
    on_start: Callable[[int, int], None] = lambda num_media, num_known: None,
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> StoreTotals:
    """Check a store and write journal, report, list of bad media and contact sheet.

    Args:
        location: as ``open_store`` takes it.
        folder: folder to write into, made if it is not there.
        num_workers: media at the same time, each in its own reader process.
        num_random: frames to decode beside the first and the last.
        timeout_sec: longest time for one medium.
        is_fresh: forget the journal of an earlier check.
        backend: decoder of videos, a key of ``BACKENDS``.
        media: ``video`` or ``image``; None takes videos where there are any, else images.
        mapper: where media are read; None takes threads of this process.
        on_start: told how many media the store has and how many the journal knows, for a progress bar.
        on_finding: told each new finding.

    Raises:
        StoreError: if the store cannot be opened.
        ValueError: for an unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is '{backend}'; allowed are {', '.join(BACKENDS)}")
    journal = folder / "journal.jsonl"
    if is_fresh:
        journal.unlink(missing_ok=True)
    store = open_store(location, media=media)
    keys = store.keys()
    checker = StoreChecker(store, num_random, timeout_sec, backend, media)
    found = {key: finding for key, finding in checker.find_known(journal).items() if key in store}
    on_start(len(keys), len(found))
    for finding in _check_left(
        checker, journal, [key for key in keys if key not in found], num_workers, mapper
    ):
        found[finding.key] = finding
        on_finding(finding)
    findings = [found[key] for key in keys]
    for part, reason in store.find_damage().items():
        findings.append(Finding(part, f"StoreError: {reason}", kind="shard"))
        on_finding(findings[-1])
    return write_report(findings, folder, store.location)


def write_report(
    findings: Sequence[Finding], folder: Path, location: str, max_pictures: int = 2000
) -> StoreTotals:
    """Write ``report.json``, ``bad.jsonl`` (key and reason of each bad medium) and ``contact_sheet.html``.

    Args:
        findings: results of ``check_store``.
        folder: folder to write into.
        location: place of the store, for the title.
        max_pictures: thumbnails in the contact sheet; of more media, evenly spread ones are shown.
    """
    totals = sum_findings(findings, location)
    report = {**asdict(totals), "media": [finding.describe() for finding in findings]}
    write_text_atomically(format_json(report, 1), folder / "report.json")
    lines = [
        json.dumps({"key": finding.key, "reason": finding.reason}, ensure_ascii=False)
        for finding in findings
        if finding.reason and finding.kind != "shard"
    ]
    write_text_atomically("".join(f"{line}\n" for line in lines), folder / "bad.jsonl")
    write_contact_sheet(folder / "contact_sheet.html", totals, findings, max_pictures)
    return totals


def _encode_strip(thumbnails: Tensor) -> str:
    pictures = thumbnails.permute(2, 0, 3, 1).reshape(thumbnails.shape[2], -1, 3)
    buffer = io.BytesIO()
    Image.fromarray(pictures.contiguous().numpy()).save(buffer, "JPEG", quality=70)
    return base64.b64encode(buffer.getvalue()).decode()
