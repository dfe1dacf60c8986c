"""Encodes one medium as the rows of an index; what is hashed is what is encoded."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.media import MediaSource
from clipbert_mmf.library.rows import CLIP, UNREADABLE, VIDEO, WINDOW, Row, RowFacts
from clipbert_mmf.library.store import LibrarySettings
from clipbert_mmf.scoring.validity import ScoresError, check_scores
from clipbert_mmf.video.clips import ClipReader, Clips, Windows
from clipbert_mmf.video.errors import DecodeError, MediaError, ReaderTimeoutError
from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.images import read_image_size
from clipbert_mmf.video.media_hash import digest_files
from clipbert_mmf.video.sources import read_source

#: Files up to this size are read into memory once, hashed and decoded from there; larger ones are hashed and decoded
#: from the disk, and must not change between.
_HELD_BYTES = 256 << 20
#: Clips of windows that are decoded at a time.
_CLIPS_AT_ONCE = 64
TOKEN_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Work:
    """A medium to encode.

    Attributes:
        path: its path in the source.
        replaces: whether the index has rows of it that the new ones replace.
        content: hash of the bytes that those rows were made from; empty without.
    """

    path: str
    replaces: bool = False
    content: bytes = b""


@dataclass(frozen=True)
class Encoded:
    """The outcome of one medium.

    Attributes:
        work: what was asked for.
        rows: its rows.
        reused: path whose rows hold for this medium too, since its bytes are the same; the rows are copied by the
            writer.
        stamp: state of the medium.
    """

    work: Work
    rows: tuple[Row, ...] = ()
    reused: str | None = None
    stamp: str = ""


@dataclass
class _Loaded:
    """A medium that was read, or the first windows of one.

    Attributes:
        facts: what is known of it.
        clips: its clips, or those of each of its first windows.
        windows_sec: these windows.
        reused: path whose rows hold for it too.
        source: what its other windows are read from while they are encoded, so that a long video is never in memory
            as a whole.
        num_windows: number of all its windows.
    """

    facts: RowFacts
    clips: Sequence[Clips] = ()
    windows_sec: Sequence[tuple[float, float]] = ()
    reused: str | None = None
    source: bytes | Path | FrameFolder = b""
    num_windows: int = 0


class Encoder:
    """Encodes media with one model. Can be pickled; each thread that reads has a reader process of its own.

    Args:
        model: a trained model.
        source: the media.
        settings: the index's.
        timeout_sec: longest time for reading one medium in a reader process; None reads in this process.
        known: hash of contents -> path whose rows are in the index and whose medium is gone: it was renamed.
    """

    def __init__(
        self,
        model: ClipBert,
        source: MediaSource,
        settings: LibrarySettings,
        timeout_sec: float | None = 60.0,
        known: dict[bytes, str] | None = None,
    ):
        self.model, self.source, self.settings = model, source, settings
        self.timeout_sec, self.known = timeout_sec, known or {}
        self._local = threading.local()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_local": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._local = threading.local()

    def __call__(self, work: Work) -> Encoded:
        """Read and encode a medium; one that cannot be read becomes a row with the reason."""
        return self.encode(work, self.read(work))

    @property
    def _reader(self) -> ClipReader:
        if not hasattr(self._local, "reader"):
            self._local.reader = self.model.preprocessing.make_reader(self.timeout_sec)
        return self._local.reader

    def read(self, work: Work) -> _Loaded:
        """Return the clips of a medium, or facts with the reason why it cannot be read."""
        facts = RowFacts(work.path, VIDEO, model=self.settings.model.hash)
        try:
            stamp = self.source.stamp(work.path)
            facts = replace(facts, stamp=stamp)
            held, num_bytes, content = hold_source(self.source.read(work.path))
            facts = replace(facts, num_bytes=num_bytes, content=content)
            if content == work.content:
                return _Loaded(facts, reused=work.path)
            if content in self.known:
                return _Loaded(facts, reused=self.known[content])
            loaded = self._read_clips(held, facts)
            self._refuse_change(held, facts)
        except (MediaError, OSError) as error:
            return _Loaded(_describe_failure(facts, error))
        return loaded

    def _refuse_change(self, held: bytes | Path | FrameFolder, facts: RowFacts) -> None:
        if isinstance(held, bytes):
            return
        if hold_source(held)[2] != facts.content or self.source.stamp(facts.path) != facts.stamp:
            raise DecodeError("it changed while it was read; index it again later", facts.path)

    def _read_clips(self, source: bytes | Path | FrameFolder, facts: RowFacts) -> _Loaded:
        length = self.settings.window_sec
        if length is None or self.settings.media == "image":
            clips = self._reader.read_source(source, key=facts.path)
            facts = _with_facts(facts, clips)
            if self.settings.media == "image" and not isinstance(source, FrameFolder):
                width, height = read_image_size(source)
                facts = replace(facts, width=width, height=height)
            return _Loaded(facts, [clips])
        found = self._read_windows(source, facts.path, 0)
        return _Loaded(
            _with_facts(facts, found.clips[0]),
            found.clips,
            found.windows_sec,
            source=source,
            num_windows=found.num_windows,
        )

    def _read_windows(self, source: bytes | Path | FrameFolder, path: str, first: int) -> Windows:
        length = self.settings.window_sec
        assert length is not None
        count = max(1, _CLIPS_AT_ONCE // self.model.preprocessing.clips.num_clips)
        return self._reader.read_windows(source, length, first, count, path)

    def _iterate_clips(self, loaded: _Loaded) -> Iterator[tuple[Clips, tuple[float, float] | None]]:
        """Yield the clips of a medium, or of each window of it, of which most are read now."""
        if not loaded.num_windows:
            yield from ((clips, None) for clips in loaded.clips)
            return
        yield from zip(loaded.clips, loaded.windows_sec, strict=True)
        done = len(loaded.clips)
        while done < loaded.num_windows:
            found = self._read_windows(loaded.source, loaded.facts.path, done)
            yield from zip(found.clips, found.windows_sec, strict=True)
            done += len(found.clips)
        if done > len(loaded.clips):
            self._refuse_change(loaded.source, loaded.facts)

    @torch.inference_mode()
    def encode(self, work: Work, loaded: _Loaded) -> Encoded:
        """Encode what was read.

        Raises:
            ScoresError: if the model gives numbers that are not finite.
        """
        facts = loaded.facts
        if loaded.reused is not None:
            return Encoded(work, reused=loaded.reused, stamp=facts.stamp)
        if facts.kind == UNREADABLE:
            return Encoded(work, (Row(facts),), stamp=facts.stamp)
        rows: list[Row] = []
        try:
            for clips, window in self._iterate_clips(loaded):
                rows += self._encode_clips(facts, clips, window)
        except (MediaError, OSError) as error:
            failed = _describe_failure(facts, error)
            return Encoded(work, (Row(failed),), stamp=failed.stamp)
        return Encoded(work, tuple(rows), stamp=facts.stamp)

    def _encode_clips(
        self, facts: RowFacts, clips: Clips, window_sec: tuple[float, float] | None
    ) -> list[Row]:
        """Return the row of a medium or window, and those of its clips where there are several."""
        try:
            visual = self.model.encode(clips).visual
        except ScoresError as error:
            raise ScoresError(f"{facts.path}: {error}") from error
        tokens, shape = encode_tokens(visual, self.settings.tokens)
        whole, parts = self._embed(visual, facts.path)
        span = window_sec or (None if facts.duration_sec is None else (0.0, facts.duration_sec))
        kind = VIDEO if window_sec is None else WINDOW
        rows = [
            Row(
                _place(replace(facts, kind=kind, clips_sec=clips.times_sec, tokens_shape=shape), span),
                whole,
                tokens,
            )
        ]
        if window_sec is None and len(parts) > 1:
            rows += [
                Row(_place(replace(facts, kind=CLIP), time), part)
                for time, part in zip(clips.times_sec, parts, strict=True)
            ]
        return rows

    def _embed(self, visual: Tensor, path: str) -> tuple[np.ndarray | None, Sequence[np.ndarray | None]]:
        if not self.settings.embedding_size:
            return None, [None]
        whole, parts = self.model.network.embed_moments(visual[None].to(self.model.device))
        rows = check_scores(torch.cat([whole, parts[0]]).float().cpu(), 1 + len(parts[0]), lambda row: path)
        return rows[0].numpy(), [row.numpy() for row in rows[1:]]


def encode_tokens(visual: Tensor, kind: str | None) -> tuple[bytes | None, tuple[int, ...]]:
    """Return tokens ``(K, V, D)`` as bytes in ``bf16`` or ``fp32``, and their shape; None and no shape to keep none."""
    if kind is None:
        return None, ()
    kept = visual.detach().cpu().to(TOKEN_TYPES[kind]).contiguous()
    return kept.view(torch.uint8).numpy().tobytes(), tuple(visual.shape)


def decode_tokens(row: Row, kind: str) -> Tensor | None:
    """Return the kept tokens of a row ``(K, V, D)`` in float32; None where it has none."""
    if row.tokens is None or not row.facts.tokens_shape:
        return None
    data = torch.frombuffer(bytearray(row.tokens), dtype=TOKEN_TYPES[kind])
    return data.reshape(row.facts.tokens_shape).float()


def hold_source(source: bytes | Path | FrameFolder) -> tuple[bytes | Path | FrameFolder, int, bytes]:
    """Return what is to be decoded, its size, and the hash of its content (16 bytes of SHA-256).

    Raises:
        MediaError: if it cannot be read.
    """
    if isinstance(source, Path) and os.stat(source).st_size <= _HELD_BYTES:
        source = read_source(source)
    if isinstance(source, bytes):
        digest, size = hashlib.sha256(source), len(source)
    else:
        digest, size = digest_files(source.list_frames() if isinstance(source, FrameFolder) else [source])
    return source, size, digest.digest()[:16]


def _describe_failure(facts: RowFacts, error: MediaError | OSError) -> RowFacts:
    """Return the facts of a medium that cannot be read, with the reason."""
    reason = error.reason if isinstance(error, MediaError) else str(error)
    # What another try may read keeps no state: each update tries it again.
    if isinstance(error, ReaderTimeoutError) or not facts.content:
        facts = replace(facts, stamp="", content=b"")
    return replace(facts, kind=UNREADABLE, reason=reason or "it cannot be read")


def _with_facts(facts: RowFacts, clips: Clips) -> RowFacts:
    told = clips.facts
    return replace(facts, duration_sec=told.duration_sec, fps=told.fps, width=told.width, height=told.height)


def _place(facts: RowFacts, span_sec: tuple[float, float] | None) -> RowFacts:
    return facts if span_sec is None else replace(facts, start_sec=span_sec[0], end_sec=span_sec[1])
