"""Builds an index and brings it up to date: what is new or changed is encoded, what is gone is removed."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.inference.asking import require_ability
from clipbert_mmf.inference.model_identity import hash_model
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.encoding import Encoded, Encoder, Work
from clipbert_mmf.library.engines import encode_here
from clipbert_mmf.library.lance import import_lancedb
from clipbert_mmf.library.media import MediaSource, open_media_source, require_paths
from clipbert_mmf.library.rows import CLIP, UNREADABLE, Row
from clipbert_mmf.library.shares import join_shares
from clipbert_mmf.library.store import (
    CODES,
    EXACT,
    GOOD_RECALL,
    GRAPH,
    LEAST_CODED,
    LibraryError,
    LibrarySettings,
    LibraryStore,
    ModelIdentity,
    VectorReport,
    create_library_store,
    is_library,
    open_library_store,
)
from clipbert_mmf.retrieval.two_stage import tell_contrastive_training
from clipbert_mmf.training.run_lock import RunLock, acquire_lock
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.parallel import Mapper

logger = logging.getLogger(__name__)

#: Media of one commit, and seconds after which a smaller one is made: what a kill may lose.
BATCH_MEDIA, BATCH_SEC = 64, 20.0
#: Bytes of a row beside its embedding and tokens.
ROW_BYTES = 512
#: Rows from which partitions of embeddings are scanned faster than the table: at 100,000 of 256, 13 ms in place of 120.
VECTOR_ROWS = 20_000
#: Length of the shortest window: shorter ones are not seconds, and no index holds a row for each.
MIN_WINDOW_SEC = 0.1
#: Bytes of embeddings up to which a search is exact: what memory may grow by.
EXACT_BYTES = 32 << 20
#: How a search finds candidates.
NEAREST = ("auto", "exact", "approximate", "graph")
_KINDS = {"exact": EXACT, "approximate": CODES, "graph": GRAPH}
#: An update of fewer media than one of so many rows is small.
_SMALL_UPDATE = 100
_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
#: Media after which rate, time and size are told.
NUM_FIRST = 20


@dataclass
class IndexReport:
    """Counts of one call.

    Attributes:
        num_media: media of the source.
        num_new: encoded because the index lacked them.
        num_changed: encoded again, because their content is another.
        num_renamed: taken over from a path that is gone, with the same content.
        num_unchanged: there before.
        num_removed: media that are gone, and taken out.
        num_outdated: media that changed or are gone, and were left as they are: ``--update`` was not given.
        num_repaired: media with damaged rows, encoded anew.
        unreadable: path -> reason, of this call.
        num_unreadable: media of the index that cannot be read.
        num_rows: rows of the index at the end.
        num_bytes: size of the index at the end.
        seconds: duration of the call.
    """

    num_media: int = 0
    num_new: int = 0
    num_changed: int = 0
    num_renamed: int = 0
    num_unchanged: int = 0
    num_removed: int = 0
    num_outdated: int = 0
    num_repaired: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    num_unreadable: int = 0
    num_rows: int = 0
    num_bytes: int = 0
    seconds: float = 0.0

    @property
    def has_written(self) -> bool:
        """Whether rows came or went."""
        return bool(self.num_new + self.num_changed + self.num_renamed + self.num_removed + self.num_repaired)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def add(self, other: IndexReport) -> None:
        """Add what another process encoded."""
        self.num_new += other.num_new
        self.num_changed += other.num_changed
        self.num_renamed += other.num_renamed
        self.unreadable.update(other.unreadable)

    def describe(self) -> str:
        """Return the report as one sentence."""
        parts = {
            "new": self.num_new,
            "changed": self.num_changed,
            "renamed": self.num_renamed,
            "removed": self.num_removed,
            "damaged and encoded anew": self.num_repaired,
            "unchanged": self.num_unchanged,
        }
        counts = ", ".join(f"{count} {name}" for name, count in parts.items() if count) or "nothing to do"
        size = f"{self.num_rows} rows, {_say_size(self.num_bytes)}"
        bad = f", {self.num_unreadable} unreadable" if self.num_unreadable else ""
        left = (
            f"; {self.num_outdated} media changed or are gone: --update brings them up to date"
            if self.num_outdated
            else ""
        )
        return f"{self.num_media} media: {counts}{bad}; {size}, {self.seconds:.1f} s{left}"


@dataclass(frozen=True)
class IndexOptions:
    """Settings of building.

    Attributes:
        window_sec: length of a window; None for the model's sampling over the whole of each medium.
        tokens: data type of kept tokens, ``bf16`` or ``fp32``; None keeps none.
        updates: encode changed media again and remove those that are gone.
        verifies: read the content of all media and all rows, whatever their states say.
        needs_embeddings: refuse a model without a contrastive head.
        timeout_sec: longest time for reading one medium in a reader process; None reads in this process.
        batch_media: media of one commit.
        nearest: how a search finds candidates: ``exact``, ``approximate``, ``graph``, or ``auto``, which is exact up
            to ``EXACT_BYTES`` and then approximate, if that finds enough.

    Raises:
        ValueError: for a value out of range.
    """

    window_sec: float | None = None
    tokens: str | None = None
    updates: bool = False
    verifies: bool = False
    needs_embeddings: bool = True
    timeout_sec: float | None = 60.0
    batch_media: int = BATCH_MEDIA
    nearest: str = "auto"

    def __post_init__(self) -> None:
        if self.window_sec is not None and not 0 < self.window_sec < float("inf"):
            raise ValueError(f"--window-sec is {self.window_sec}; expected seconds above 0")
        if self.window_sec is not None and self.window_sec < MIN_WINDOW_SEC:
            raise ValueError(f"--window-sec is {self.window_sec}; expected at least {MIN_WINDOW_SEC}")
        if self.timeout_sec is not None and not 0 < self.timeout_sec < float("inf"):
            raise ValueError(f"--timeout is {self.timeout_sec}; expected seconds above 0")
        if self.nearest not in NEAREST:
            raise ValueError(f"--nearest is {self.nearest!r}; allowed are {', '.join(NEAREST)}")


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        works: media to encode.
        gone: paths of the index that the source lacks.
        known: hash of contents -> path, of what is gone.
        num_outdated: media that changed or are gone and are left.
    """

    works: tuple[Work, ...]
    gone: tuple[str, ...] = ()
    known: dict[bytes, str] = field(default_factory=dict)
    num_outdated: int = 0


def build_index(
    model: ClipBert,
    model_name: str,
    source: str | Path,
    out: str | Path,
    options: IndexOptions | None = None,
    engine: Mapper | None = None,
    tell: Callable[[str], object] = logger.info,
    advance: Callable[[int, int], object] = lambda done, total: None,
) -> IndexReport:
    """Encode the media of a source into an index; one that is there goes on.

    All that can fail is checked before the first medium is read. Under ``torchrun`` or ``srun`` each process takes
    its share and appends it; process 0 plans before and finishes after, and its report counts for all.

    Args:
        model: a trained model.
        model_name: where it was loaded from; the index remembers it.
        source: folder, LMDB, tar shards, ``scheme://...``, or a table with paths or URLs.
        out: folder or address of the index.
        options: settings.
        engine: where media are encoded; None for this process.
        tell: told rate, time left and size after the first media.
        advance: told how many media are done, and of how many.

    Raises:
        ValueError: if the model lacks a head that is needed.
        LibraryError: if the index is of another model, source or setting, or cannot be written.
        ConfigurationError: if another process writes into it.
    """
    start, options = time.perf_counter(), options or IndexOptions()
    import_lancedb()
    settings, bytes_per_medium = check_model(model, model_name, source, options)
    media = open_media_source(source, settings.media)
    with join_shares() as shares, hold_lock(out if shares.rank == 0 else "://"):
        store, paths, plan, report = None, [], Plan(()), IndexReport()
        if shares.rank == 0:
            paths = require_paths(media, settings.media)
            store = open_for_writing(out, settings, options)
            report.num_media = len(paths)
            report.num_repaired = repair(store, options.verifies)
            plan = make_plan(store, media, paths, options)
            report.num_outdated = plan.num_outdated
            require_room(store, len(plan.works) * bytes_per_medium, len(plan.works))
        plan = shares.send(plan)
        store = store or open_library_store(out)
        encoder = Encoder(model, media, settings, options.timeout_sec, plan.known)
        works = plan.works[shares.rank :: shares.size]
        writer = Writer(store, report, options.batch_media, tell, advance, len(works), shares.size == 1)
        writer.write((engine or encode_here)(encoder, works))
        everyone = shares.gather((report, writer.taken))
        if shares.rank > 0:
            return report
        for other, taken in everyone[1:]:
            report.add(other)
            writer.taken |= taken
        store.reopen()
        if plan.gone:
            store.remove(plan.gone)
            report.num_removed = len(set(plan.gone).difference(writer.taken))
        finish(store, report, options, tell)
    report.num_unchanged = len(paths) - report.num_new - report.num_changed - report.num_renamed
    report.num_unchanged = max(0, report.num_unchanged - report.num_repaired)
    report.seconds = round(time.perf_counter() - start, 3)
    return report


def check_model(
    model: ClipBert, model_name: str, source: str | Path, options: IndexOptions
) -> tuple[LibrarySettings, int]:
    """Check that a model can make and search an index; try it on a blank medium.

    Returns:
        What all rows will have in common, and the bytes that a medium will take, for one window.

    Raises:
        ValueError: if it lacks a head.
    """
    require_ability(model, "score")
    head = model.network.contrastive
    if head is None and options.needs_embeddings:
        raise ValueError(
            f"this model has no contrastive head, so its videos have no embeddings to index; "
            f"{tell_contrastive_training(model_name)}"
        )
    size = 0 if head is None else head.size
    model.encode_texts(["a"])
    blank = model.encode(model.preprocessing.make_reader().make_blank())
    if options.tokens not in (None, "bf16", "fp32"):
        raise ValueError(f"--keep-tokens is {options.tokens!r}; allowed are bf16, fp32")
    if options.window_sec is not None and model.preprocessing.media == "image":
        raise ValueError("--window-sec cuts videos, and this model reads images; leave it out")
    settings = LibrarySettings(
        identify_model(model, model_name),
        open_media_source(source, model.preprocessing.media).location,
        model.preprocessing.media,
        size,
        options.window_sec,
        options.tokens,
    )
    num_clips = len(blank.visual)
    num_rows = 1 + (num_clips if num_clips > 1 and options.window_sec is None and size else 0)
    token_bytes = {None: 0, "bf16": 2, "fp32": 4}[options.tokens] * blank.visual.numel()
    return settings, num_rows * (4 * size + ROW_BYTES) + token_bytes


def identify_model(model: ClipBert, name: str | Path) -> ModelIdentity:
    """Return the identity of a model that was loaded from ``name``; a path is made absolute."""
    place = Path(name).expanduser()
    return ModelIdentity(hash_model(model)[:16], str(place.resolve()) if place.exists() else str(name))


class hold_lock:  # noqa: N801, used as a function
    """Keep other processes from writing into an index on a disk; an address has no lock."""

    def __init__(self, out: str | Path):
        if not str(out):
            raise ValueError("--out is empty; expected a folder or an address for the index")
        self.out, self._lock = out, None

    def __enter__(self) -> None:
        if "://" in str(self.out):
            return
        folder = Path(self.out)
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"'{folder}' is a file; expected a folder for the index")
        try:
            self._lock: RunLock | None = acquire_lock(folder, _explain_lock)
        except ConfigurationError:
            raise
        except OSError as error:
            raise OSError(f"the index {self.out} cannot be written: {error.strerror or error}") from error

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.release()


def _explain_lock(folder: Path, who: str) -> str:
    return (
        f"the index {folder} is in use: {who}, writes into it. Wait for it or end it, or give another --out"
    )


def open_for_writing(out: str | Path, settings: LibrarySettings, options: IndexOptions) -> LibraryStore:
    """Open an index, made if it is not there.

    Raises:
        LibraryError: if it has another model, source or setting.
    """
    if "://" in str(out):
        try:
            store = open_library_store(out)
        except LibraryError as error:
            if "not found" not in str(error).lower():
                raise
            return create_library_store(out, settings)
    elif not is_library(out):
        return create_library_store(out, settings)
    else:
        store = open_library_store(out)
    require_same(store, settings)
    return store


def require_same(store: LibraryStore, settings: LibrarySettings) -> None:
    """Raise ``LibraryError`` where an index was made with another model, source or setting."""
    there = store.settings
    if there.model.hash != settings.model.hash:
        raise LibraryError(
            f"the index {store.location} has the embeddings of the model {there.model}, and this is the model "
            f"{settings.model}: rows of two models cannot be compared; give another --out"
        )
    for name, option in (
        ("source", "SOURCE"),
        ("window_sec", "--window-sec"),
        ("tokens", "--keep-tokens"),
        ("embedding_size", "the model's embedding size"),
    ):
        before, now = getattr(there, name), getattr(settings, name)
        if before != now:
            raise LibraryError(
                f"the index {store.location} was made with {option} {before}, and now it is {now}; give the same, or "
                f"another --out"
            )


def repair(store: LibraryStore, verifies: bool) -> int:
    """Remove damaged rows where files changed behind the index's back; return the number of their media."""
    if store.is_sealed() and not verifies:
        return 0
    # Partitions have no checksums: made anew at the end.
    store.drop_vector_index()
    damaged = store.find_damaged()
    if damaged:
        logger.warning(
            "%s: rows of %d media are damaged and made anew, the first of '%s'",
            store.location,
            len(damaged),
            damaged[0],
        )
        store.remove(damaged)
    store.seal()
    return len(damaged)


def make_plan(store: LibraryStore, source: MediaSource, paths: Sequence[str], options: IndexOptions) -> Plan:
    """Compare an index with its source."""
    table = store.read_columns(("path", "stamp", "content", "kind"), f"kind != '{CLIP}'")
    # With --verify what could not be read is tried again, by another version of a decoder for example.
    there = {
        path: (stamp, b"" if options.verifies and kind == UNREADABLE else content)
        for path, stamp, content, kind in zip(*(column.to_pylist() for column in table.columns), strict=True)
    }
    listed = set(paths)
    new = [Work(path) for path in paths if path not in there]
    gone = [path for path in there if path not in listed]
    if not options.updates and not options.verifies:
        return Plan(tuple(new), num_outdated=len(gone) + _count_changed(source, there, listed))
    old = [path for path in paths if path in there]
    changed = [
        Work(path, True, there[path][1])
        for path in old
        if options.verifies or not there[path][0] or _stamp(source, path) != there[path][0]
    ]
    if not options.updates:
        return Plan((*new, *changed), num_outdated=len(gone))
    known = {there[path][1]: path for path in gone if there[path][1]}
    return Plan((*new, *changed), tuple(gone), known)


def _count_changed(source: MediaSource, there: dict[str, tuple[str, bytes]], listed: set[str]) -> int:
    """Return how many media changed; those whose state is not known are not read for it."""
    return sum(
        1 for path, (stamp, _) in there.items() if path in listed and stamp and _stamp(source, path) != stamp
    )


def _stamp(source: MediaSource, path: str) -> str:
    try:
        return source.stamp(path)
    except (MediaError, OSError):
        return ""


def require_room(store: LibraryStore, num_bytes: int, num_media: int) -> None:
    """Raise ``LibraryError`` where the disk has less room than the rows will take."""
    if store.folder is None:
        return
    free = shutil.disk_usage(store.folder).free
    # Compacting writes rows again before the old ones go.
    if 2 * num_bytes > free:
        raise LibraryError(
            f"the index {store.location} will need about {_say_size(2 * num_bytes)} for {num_media} media, and "
            f"{_say_size(free)} are free; make room{', or keep no tokens' if store.settings.tokens else ''}"
        )


class Writer:
    """Appends what was encoded, batch by batch, and counts it.

    Args:
        store: the index.
        report: counts, changed in place.
        batch_media: media of a commit.
        tell: told rate, time left and size after the first media.
        advance: told how many media are done, and of how many.
        total: number of media.
        seals: whether files are noted after each commit; not where several processes write.

    Attributes:
        taken: paths whose rows became those of another path.
    """

    def __init__(
        self,
        store: LibraryStore,
        report: IndexReport,
        batch_media: int,
        tell: Callable[[str], object],
        advance: Callable[[int, int], object],
        total: int,
        seals: bool = True,
    ):
        self.store, self.report = store, report
        self.batch_media, self.tell, self.advance, self.total = batch_media, tell, advance, total
        self.seals = seals
        self.taken: set[str] = set()
        self._done: set[str] = set()
        self._num_bytes = 0

    def write(self, outcomes: Iterable[Encoded]) -> None:
        """Append all outcomes; what was written of a medium once is not written again."""
        start = time.monotonic()
        for batch in _batch(outcomes, self.batch_media):
            fresh = [one for one in batch if one.work.path not in self._done]
            self._done.update(one.work.path for one in fresh)
            self._append(fresh)
            self.advance(len(self._done), self.total)
            if len(self._done) - len(fresh) < NUM_FIRST <= len(self._done) < self.total:
                self._tell_rate(time.monotonic() - start)

    def _append(self, batch: Sequence[Encoded]) -> None:
        rows: list[Row] = []
        for one in batch:
            rows += self._copy(one, one.reused) if one.reused is not None else one.rows
            self._count(one)
        self._num_bytes += sum(
            ROW_BYTES + (0 if row.embedding is None else row.embedding.nbytes) + len(row.tokens or b"")
            for row in rows
        )
        self.store.append(rows, [one.work.path for one in batch if one.work.replaces])
        if self.seals:
            self.store.seal()

    def _copy(self, one: Encoded, path: str) -> list[Row]:
        rows = self.store.read_paths([path])
        return [replace(row, facts=replace(row.facts, path=one.work.path, stamp=one.stamp)) for row in rows]

    def _count(self, one: Encoded) -> None:
        is_unreadable = bool(one.rows) and one.rows[0].facts.kind == UNREADABLE
        if is_unreadable:
            self.report.unreadable[one.work.path] = one.rows[0].facts.reason
        if one.reused is not None and one.reused != one.work.path:
            self.report.num_renamed += 1
            self.taken.add(one.reused)
        elif one.reused is not None:
            pass  # only its state is another
        elif is_unreadable and one.work.replaces and not one.work.content:
            pass  # tried again in vain
        elif one.work.replaces:
            self.report.num_changed += 1
        else:
            self.report.num_new += 1

    def _tell_rate(self, seconds: float) -> None:
        done, left = len(self._done), self.total - len(self._done)
        expected = self._num_bytes * self.total / done
        self.tell(
            f"{done} of {self.total} media: {done / seconds:.1f} a second, about {_say_time(left * seconds / done)} "
            f"left, about {_say_size(expected)} in all"
        )
        require_room(self.store, int(self._num_bytes * left / done), left)


def _batch(outcomes: Iterable[Encoded], num_media: int) -> Iterator[list[Encoded]]:
    """Yield outcomes in batches: the first after ``NUM_FIRST`` media, others when full or after ``BATCH_SEC``."""
    batch: list[Encoded] = []
    limit, since = min(num_media, NUM_FIRST), time.monotonic()
    for one in outcomes:
        batch.append(one)
        if len(batch) >= limit or time.monotonic() - since > BATCH_SEC:
            yield batch
            batch, limit, since = [], num_media, time.monotonic()
    if batch:
        yield batch


def _say_size(num_bytes: float) -> str:
    """Return a size with two digits or more, in the unit that leaves few."""
    unit, name = next(((unit, name) for unit, name in _UNITS if num_bytes >= unit), (1, "bytes"))
    number = num_bytes / unit
    return f"{number:.1f} {name}" if number < 10 and unit > 1 else f"{number:.0f} {name}"


def _say_time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def finish(
    store: LibraryStore, report: IndexReport, options: IndexOptions, tell: Callable[[str], object]
) -> None:
    """Join the files of an index, note their states, and count."""
    has_joined = False
    if report.has_written:
        num_written = report.num_new + report.num_changed + report.num_renamed
        has_joined = store.compact(
            is_due=num_written > len(store) // _SMALL_UPDATE or report.num_repaired > 0
        )
    arrange_vectors(store, options.nearest, has_joined, tell)
    store.seal()
    report.num_rows = len(store)
    report.num_unreadable = store.count(f"kind = '{UNREADABLE}'")
    if store.folder is not None:
        report.num_bytes = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())


def arrange_vectors(
    store: LibraryStore, nearest: str, has_joined: bool, tell: Callable[[str], object]
) -> None:
    """Put the embeddings into partitions where a search gains by it; tell what is found and what it costs."""
    num_rows, there, size = len(store), store.vector_index, store.settings.embedding_size
    if not size or num_rows < (VECTOR_ROWS if nearest in ("auto", "exact") else LEAST_CODED):
        if there is not None and there.kind != EXACT:
            store.drop_vector_index()
        return
    wanted = _KINDS.get(nearest, EXACT if 4 * size * num_rows <= EXACT_BYTES else CODES)
    if there is not None and there.kind == wanted:
        # What was appended since is scanned beside the partitions until it is joined with them.
        if (
            wanted == EXACT
            or not has_joined
            or store.measure(there, num_queries=2).recall >= GOOD_RECALL - 0.05
        ):
            return
    elif there is not None and there.kind == EXACT and nearest == "auto" and num_rows < 2 * there.num_tried:
        return
    report = store.build_vector_index(wanted)
    tell(f"{wanted} search of {num_rows} embeddings: {_describe_nearest(report)}")
    if nearest == "auto" and report.recall < GOOD_RECALL:
        tell(
            f"that is less than {GOOD_RECALL:.0%}: the search stays exact, and keeps all embeddings in memory"
        )
        store.build_vector_index(EXACT, num_tried=num_rows)


def _describe_nearest(report: VectorReport) -> str:
    return f"{report.recall:.1%} of the 100 nearest rows are found, in {1e3 * report.seconds:.0f} ms of processor time"
