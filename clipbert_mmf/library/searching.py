"""Searches an index in two stages: embeddings choose candidates, and the cross-encoder ranks them.

Only the candidates' media are read, one after the other, so that memory does not grow with the library.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from clipbert_mmf.inference.asking import (
    EncodedMedia,
    Hit,
    clean_texts,
    require_ability,
    score_matches,
)
from clipbert_mmf.inference.embedding import embed_texts
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.building import identify_model
from clipbert_mmf.library.encoding import decode_tokens, hold_source
from clipbert_mmf.library.media import MediaSource, open_media_source
from clipbert_mmf.library.rows import CLIP, UNREADABLE, VIDEO, WINDOW, Row
from clipbert_mmf.library.store import (
    LibraryError,
    LibraryStore,
    ModelIdentity,
    join_filters,
    names_columns,
    open_library_store,
)
from clipbert_mmf.retrieval.two_stage import check_numbers
from clipbert_mmf.scoring.clips import match_times
from clipbert_mmf.video.errors import MediaError, StoreError

logger = logging.getLogger(__name__)

#: Candidates of each text that the cross-encoder ranks, where nothing else is said.
RERANK_TOP_K = 100
#: Rows of a candidate that are looked at, where media have several; more where these are of too few media.
_FIRST_ROWS = 3
_READABLE = f"kind != '{UNREADABLE}'"
_WHOLE = f"kind IN ('{VIDEO}', '{WINDOW}')"
Progress = Callable[[Iterable["Candidate"]], Iterable["Candidate"]]


@dataclass(frozen=True)
class Candidate:
    """A medium, or a window of one, that the cross-encoder will score.

    Attributes:
        row: its row: the whole medium, or the window.
        columns: numbers of the texts that chose it.
    """

    row: Row
    columns: tuple[int, ...]


class Library:
    """An index and the model that made it.

    Args:
        location: folder or address of the index.
        model: the model; None loads the one that the index names.
        model_name: where the model was loaded from, for messages.
        verifies: compare the content of each candidate with what was indexed.
        timeout_sec: longest time for reading one medium in a process of its own; None reads as the model does.

    Raises:
        FileNotFoundError: if there is no index.
        LibraryError: if it is of another model, or damaged.
    """

    def __init__(
        self,
        location: str | Path,
        model: ClipBert | None = None,
        model_name: str = "",
        verifies: bool = False,
        timeout_sec: float | None = None,
    ):
        self.store: LibraryStore = open_library_store(location)
        known = self.store.settings.model
        self.model = load_named(known, str(location)) if model is None else model
        found = identify_model(self.model, model_name or "the given model")
        if found.hash != known.hash:
            raise LibraryError(
                f"the index {location} was made with the model {known}, and this is {found}: embeddings of two models "
                f"cannot be compared; give the same model, or index again with another --out"
            )
        require_ability(self.model, "score")
        if not self.store.wait_for_seal():
            # Somebody else's write, a copy of the index, or a kill between a commit and its seal.
            logger.warning("%s: files changed since they were written; all rows are checked", location)
            self.store.check()
            self.store.trusts_vectors = False
        self.verifies, self._lock = verifies, threading.Lock()
        self.source: MediaSource = self._open_source(location)
        preprocessing = self.model.preprocessing
        if timeout_sec is not None:
            preprocessing = preprocessing.with_guard(timeout_sec)
        self._read_clips = preprocessing.read_clips

    def refresh(self) -> int:
        """See what was committed meanwhile; return the number of the last commit."""
        with self._lock:
            self.store.reopen()
            return self.store.read_version()

    def _open_source(self, location: str | Path) -> MediaSource:
        settings = self.store.settings
        try:
            return open_media_source(settings.source, settings.media)
        except StoreError as error:
            raise LibraryError(
                f"the media of the index {location} cannot be read: {error}; put them back, or index them where they "
                f"are now with another --out"
            ) from error

    def search(
        self,
        texts: Sequence[str],
        top_k: int = 10,
        rerank_top_k: int | None = RERANK_TOP_K,
        where: str | None = None,
        progress: Progress = lambda candidates: candidates,
    ) -> dict[str, list[Hit]]:
        """Find the media that fit each text best; those that cannot be read are left out with a warning.

        Args:
            texts: what to look for.
            top_k: hits of each text.
            rerank_top_k: candidates of each text that embeddings choose and the cross-encoder ranks, at least
                ``top_k``; None for all.
            where: filter in SQL over the columns of the index, such as ``duration_sec < 60``: which media, or which
                windows. The clips of a medium go with it.
            progress: wraps the candidates while they are scored, such as ``tqdm``.

        Returns:
            Text to hits, best first. A medium in windows is one hit, that of its best window.

        Raises:
            ValueError: if there is no text, a number is below 1, the filter is none, or the index has no embeddings
                to choose with.
            LibraryError: if the index is damaged.
        """
        cleaned = clean_texts(texts)
        texts, cleaned = list(dict.fromkeys(texts)), list(dict(zip(texts, cleaned, strict=True)).values())
        check_numbers(top_k, rerank_top_k, bool(self.store.settings.embedding_size))
        # A writer removes the files of versions before its own.
        self.refresh()
        if where is not None:
            self.store.check_filter(where)
        if rerank_top_k is None:
            candidates: Iterable[Candidate] = self._list_all(len(texts), where)
        else:
            candidates = self._choose(cleaned, rerank_top_k, where)
        best: list[dict[str, Hit]] = [{} for _ in texts]
        for candidate in progress(candidates):
            for column, hit in self._score(candidate, cleaned):
                known = best[column].get(hit.video)
                if known is None or hit.score > known.score:
                    best[column][hit.video] = hit
            if rerank_top_k is None:
                # All media are scored; those that cannot be among the hits are forgotten.
                best = [_keep_best(hits, 4 * top_k) for hits in best]
        return {
            text: [replace(hit, rank=rank) for rank, hit in enumerate(_sort(hits.values())[:top_k], 1)]
            for text, hits in zip(texts, best, strict=True)
        }

    def encode(self, path: str) -> EncodedMedia:
        """Read and encode a medium of the library as it is now.

        Raises:
            MediaError: if it cannot be read.
        """
        clips = self._read_clips(self.source.read(path), key=path)
        return replace(self.model.encode(clips), name=path)

    def _list_all(self, num_texts: int, where: str | None) -> Iterator[Candidate]:
        """Yield every medium or window, for all texts."""
        for rows, damaged in self.store.iterate_rows(join_filters(_WHOLE, where)):
            self.store.refuse_damaged(damaged)
            for row in rows:
                yield Candidate(row, tuple(range(num_texts)))

    def _choose(self, texts: list[str], rerank_top_k: int, where: str | None) -> list[Candidate]:
        """Return the media or windows whose embeddings are most similar to a text, each with its texts."""
        vectors = torch.cat(embed_texts(self.model, texts)).numpy()
        chosen: dict[tuple[str, float | None], set[int]] = {}
        rows: dict[tuple[str, float | None], Row] = {}
        for column, vector in enumerate(vectors):
            for row in self.find_similar(vector, rerank_top_k, where):
                key = _key(row)
                chosen.setdefault(key, set()).add(column)
                if key not in rows or row.facts.kind != CLIP:
                    rows[key] = row
        self._fetch_whole(rows)
        return [
            Candidate(rows[key], tuple(sorted(columns))) for key, columns in sorted(chosen.items(), key=str)
        ]

    def find_similar(self, vector: np.ndarray, count: int, where: str | None = None) -> list[Row]:
        """Return the media or windows whose embeddings are most similar to that of a text, best first.

        Args:
            vector: ``(E,)`` float32 unit vector.
            count: number of them.
            where: filter in SQL.

        Returns:
            One row of each: the one that is most similar, of the medium or of a clip.
        """
        # A medium has a row of its own and one for each clip, all of which may come first.
        per_medium = 1
        if self.store.settings.window_sec is None:
            num_clips = self.model.preprocessing.clips.num_clips
            per_medium = 1 + (num_clips if num_clips > 1 else 0)
        only = None
        if where:
            # A clip has the values of its medium, but for these: then rows of media alone are compared.
            kinds = _WHOLE if names_columns(where, ("kind", "start_sec", "end_sec")) else _READABLE
            only = join_filters(kinds, where)
        # Numbers of rows hold until another thread looks at a later version.
        with self._lock:
            most = min(count * per_medium, max(1, len(self.store)))
            limit = min(_FIRST_ROWS * count, most)
            while True:
                found = self.store.find_nearest(vector, limit, only, self.store.vector_index)
                numbers = [number for number, _ in found]
                if per_medium > 1:
                    best: dict[tuple[str, float | None], int] = {}
                    for number, (path, kind, start) in zip(
                        numbers, self.store.read_keys(numbers), strict=True
                    ):
                        best.setdefault((path, start if kind == WINDOW else None), number)
                    numbers = list(best.values())[:count]
                if len(numbers) == count or len(found) < limit or limit == most:
                    return self.store.read_numbered(numbers)
                limit = min(_FIRST_ROWS * limit, most)

    def _fetch_whole(self, rows: dict[tuple[str, float | None], Row]) -> None:
        """Replace rows of clips by those of their media, which hold the tokens."""
        if self.store.settings.tokens is None:
            return
        missing = sorted({key[0] for key, row in rows.items() if row.facts.kind == CLIP})
        for row in self.store.read_paths(missing):
            if row.facts.kind != CLIP and _key(row) in rows:
                rows[_key(row)] = row

    def _score(self, candidate: Candidate, texts: list[str]) -> list[tuple[int, Hit]]:
        facts = candidate.row.facts
        try:
            encoded = self._encode(candidate.row)
        except (MediaError, OSError) as error:
            logger.warning("left out: %s", error)
            return []
        rows, clips = score_matches(self.model, encoded, [texts[column] for column in candidate.columns])
        hits: list[tuple[int, Hit]] = []
        for column, row, by_clip in zip(candidate.columns, rows, clips, strict=True):
            times = match_times(encoded.times_sec, len(by_clip))
            best = times[int(by_clip.argmax())] if times else None
            if (
                best is None
                and facts.kind == WINDOW
                and facts.start_sec is not None
                and facts.end_sec is not None
            ):
                best = (facts.start_sec, facts.end_sec)
            hits.append((column, Hit(facts.path, 0, float(row.double().sigmoid()), float(row), best)))
        return hits

    def _encode(self, row: Row) -> EncodedMedia:
        """Return a candidate's encoding: the kept one, or made now from its medium."""
        facts, settings = row.facts, self.store.settings
        self._tell_change(row)
        kept = None if settings.tokens is None else decode_tokens(row, settings.tokens)
        if kept is not None:
            return EncodedMedia(kept, facts.clips_sec, facts.path)
        source = self.source.read(facts.path)
        window = None
        if facts.kind == WINDOW and facts.start_sec is not None and facts.end_sec is not None:
            window = (facts.start_sec, facts.end_sec)
        clips = self._read_clips(source, key=facts.path, window_sec=window)
        return replace(self.model.encode(clips), name=facts.path)

    def _tell_change(self, row: Row) -> None:
        """Warn where a medium is another than the one that was indexed."""
        facts = row.facts
        if not self.verifies and facts.stamp and self.source.stamp(facts.path) == facts.stamp:
            return
        if not self.verifies and not facts.stamp and self.store.settings.tokens is None:
            return
        if hold_source(self.source.read(facts.path))[2] != facts.content:
            logger.warning(
                "%s changed since it was indexed; bring the index up to date: clipbert index %s --out %s --update",
                facts.path,
                self.store.settings.source,
                self.store.location,
            )


def load_named(identity: ModelIdentity, location: str) -> ClipBert:
    """Load the model that an index names.

    Raises:
        LibraryError: if it is not there any more.
    """
    try:
        return ClipBert.from_pretrained(identity.name)
    except (OSError, ValueError) as error:
        raise LibraryError(
            f"the index {location} was made with the model {identity}, which cannot be loaded: {error}; say where it "
            f"is with --model"
        ) from error


def _key(row: Row) -> tuple[str, float | None]:
    """Return what a row is scored as: the whole medium, or one window of it."""
    return row.facts.path, row.facts.start_sec if row.facts.kind == WINDOW else None


def _sort(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.video))


def _keep_best(hits: dict[str, Hit], count: int) -> dict[str, Hit]:
    if len(hits) < 2 * count:
        return hits
    return {hit.video: hit for hit in _sort(hits.values())[:count]}
