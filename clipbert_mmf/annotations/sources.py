"""Reads the annotation files of a split: finds them, filters by key, and draws a subset."""

from __future__ import annotations

import dataclasses
import functools
import glob
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from clipbert_mmf.annotations import FORMATS, has_column, read_annotations, read_keys
from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.records import AnnotationError, TextRecord
from clipbert_mmf.configuration import ConfigurationError, InRange, choose, parse_config, to_plain
from clipbert_mmf.video.errors import AmbiguousNameError
from clipbert_mmf.video.stores.names import make_key

logger = logging.getLogger(__name__)

#: A drawn subset is part of the data, not of a run: runs with other seeds are compared on it.
_SUBSET_SEED = 0


@dataclass(frozen=True)
class AnnotationSource:
    """One annotation file of a split, and the part of it that is used.

    Attributes:
        file: path below ``data_dir``, absolute path, or name anywhere below ``data_dir``.
        split: names of the owner's splits to read; None reads all.
        corpus: whose formats the file has, a key of ``FORMATS``; None for the dataset's.
        answers: annotations beside the questions: VQA's, ActivityNet-QA's.
        mapping: names of media in the file and in the store: MSVD's ``youtube_mapping.txt``.
        only: file that lists the keys to keep.
        exclude: file that lists the keys to leave out.
        share: start and end in 0 to 1: keep media whose seeded hash lies there.
        share_without_split: start and end in 0 to 1: for a file without a column ``split``, keep this share
            of the media in the order of their hashes, instead of reading ``split``.
        num_texts: draw one text each of so many media; None keeps all.
        columns: our name of a column -> the file's.
    """

    file: str
    split: tuple[str, ...] | None = None
    corpus: str | None = None
    answers: str | None = None
    mapping: str | None = None
    only: str | None = None
    exclude: str | None = None
    share: tuple[float, float] | None = None
    share_without_split: tuple[float, float] | None = None
    num_texts: Annotated[int, InRange(at_least=1)] | None = None
    columns: dict[str, str | None] | None = None

    @classmethod
    def from_section(cls, values: Any, where: str) -> AnnotationSource:
        """Parse a source; a plain file name stands for ``{file: name}``, and one split for a list of one.

        Raises:
            ConfigurationError: for an unknown key, a corpus without formats, or a share that is not in 0 to
                1.
        """
        given: dict[str, Any] = {"file": values} if isinstance(values, str) else to_plain(values)
        if isinstance(given, Mapping) and isinstance(given.get("split"), str):
            given = {**given, "split": [given["split"]]}
        source = parse_config(cls, given, where)
        if source.corpus is not None:
            choose(f"{where}.corpus", source.corpus, FORMATS)
        return source

    def __post_init__(self) -> None:
        for name, share in (("share", self.share), ("share_without_split", self.share_without_split)):
            if share is not None and not 0 <= share[0] < share[1] <= 1:
                raise ValueError(f"{name} is {list(share)}; expected [start, end] with 0 <= start < end <= 1")

    def describe(self) -> str:
        """Return the keys that are set, for messages."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)


def parse_sources(values: Any, where: str) -> tuple[AnnotationSource, ...]:
    """Parse the sources of a split: one, or a list of them.

    Args:
        values: a file name, a section, or a list of either.
        where: dotted key, for messages.

    Raises:
        ConfigurationError: for an unknown key or a value that is not allowed.
    """
    if isinstance(values, (str, Mapping)):
        return (AnnotationSource.from_section(values, where),)
    if not isinstance(values, Sequence):
        raise ConfigurationError(
            f"{where} is {values!r}; expected a file name, a section with keys, or a list"
        )
    return tuple(AnnotationSource.from_section(one, f"{where}[{n}]") for n, one in enumerate(values))


def find_file(root: Path, name: str, where: str) -> Path:
    """Find an annotation file: an absolute path, a path below ``root``, or its name anywhere below ``root``.

    Args:
        root: data directory.
        name: path or name as configured.
        where: dotted key, for messages.

    Raises:
        FileNotFoundError: if nothing or more than one file fits.
    """
    direct = root / Path(name).expanduser()
    if direct.is_file():
        return direct
    parts = Path(name).parts
    found = sorted(
        path
        for path in root.rglob(glob.escape(parts[-1]) if parts else "*")
        if path.is_file() and path.parts[-len(parts) :] == parts
    )
    if len(found) == 1:
        return found[0]
    problem = (
        f"{len(found)} files have that name: {[str(path) for path in found]}" if found else "no such file"
    )
    raise FileNotFoundError(f"{where} is '{name}': {problem} below {root}; give its path from there")


class MediaNames:
    """Says which names of annotation files are one medium, and what a medium's place in a division follows from.

    Args:
        identify: medium that a name stands for, whatever its spelling.
    """

    def __init__(self, identify: Callable[[str], str]):
        self._identify = identify
        self._media: dict[str, str] = {}
        self._places: dict[str, float] = {}

    def identify(self, name: str) -> str:
        """Return the medium that a name stands for.

        Raises:
            AmbiguousNameError: if it stands for several.
        """
        medium = self._media.get(name)
        if medium is None:
            medium = self._media[name] = self._identify(name)
        return medium

    def place(self, name: str) -> float:
        """Return a number in [0, 1) that is the same for every name of a medium.

        It follows from the first name that is asked for, as it is written and not from where the file lies: a
        division stays as it is when files move, or are not there yet.

        Raises:
            AmbiguousNameError: if the name stands for several.
        """
        medium = self.identify(name)
        place = self._places.get(medium)
        if place is None:
            written = make_key(name)
            place = self._places[medium] = hash_share(medium if os.path.isabs(written) else written)
        return place


def load_sources(
    sources: Sequence[AnnotationSource],
    root: Path,
    corpus: str,
    *,
    where: str,
    needs: str = "",
    identify: Callable[[str], str] = make_key,
) -> PackedRecords:
    """Read all sources of a split, in order.

    Args:
        sources: the split's sources.
        root: data directory.
        corpus: formats of sources that name none, a key of ``FORMATS``.
        where: dotted key of the sources, for messages.
        needs: records that the task reads, a key of ``RECORD_KINDS``; empty takes any.
        identify: medium that a name in the files stands for.

    Raises:
        FileNotFoundError: if a file is not there.
        AnnotationError: for a malformed file, or another task's.
        ValueError: if a source leaves no record.
    """
    names = MediaNames(identify)
    return PackedRecords.from_records(
        record
        for number, source in enumerate(sources)
        for record in _read_source(source, root, corpus, f"{where}[{number}]", needs, names)
    )


def _read_source(
    source: AnnotationSource, root: Path, corpus: str, where: str, needs: str, names: MediaNames
) -> Iterable[TextRecord]:
    path = find_file(root, source.file, f"{where}.file")
    columns = {ours: name for ours, name in (source.columns or {}).items() if name} or None
    # Whether the file has the column decides between ``split`` and ``share_without_split``.
    by_rank = source.share_without_split
    corpus, columns_key = source.corpus or corpus, f"{where.split('.annotations')[0]}.columns"
    if by_rank is not None and has_column(path, "split", columns, corpus, columns_key):
        by_rank = None
    records: Iterable[TextRecord] = read_annotations(
        path,
        corpus,
        splits=None if source.split is None or by_rank else list(source.split),
        companion=find_file(root, source.answers, f"{where}.answers") if source.answers else None,
        columns=columns,
        mapping=find_file(root, source.mapping, f"{where}.mapping") if source.mapping else None,
        needs=needs,
        columns_key=columns_key,
    )
    for key, name, keep in (("only", source.only, True), ("exclude", source.exclude, False)):
        if name:
            records = _filter_listed(
                records, find_file(root, name, f"{where}.{key}"), names, is_wanted=keep, key=f"{where}.{key}"
            )
    if by_rank is not None:
        records = _take_ranks(list(records), *by_rank, names, place=f"{where}: {path}")
    if source.share is not None:
        start, end = source.share
        records = (record for record in records if start <= names.place(record.media_key) < end)
    if source.num_texts:
        records = draw_texts(list(records), source.num_texts, _SUBSET_SEED, names.identify)
    is_empty = True
    for record in records:
        is_empty = False
        yield record
    if is_empty:
        raise ValueError(f"{where}: {path} has no record for {source.describe()}")


def _take_ranks(
    records: list[TextRecord], start: float, end: float, names: MediaNames, place: str
) -> list[TextRecord]:
    """Keep a share of the media in the order of their hashes: exact even for a dozen of them.

    Raises:
        ValueError: if the share of so few media is none.
    """
    # The names of one medium have one place; two media with one place stay apart by their keys.
    media = {name: (names.place(name), names.identify(name)) for name in _list_names(records)}
    ordered = sorted(set(media.values()))
    first, last = round(start * len(ordered)), round(end * len(ordered))
    if first >= last:
        raise ValueError(
            f"{place} has {len(ordered)} videos and no column 'split': too few to divide them by "
            f"share_without_split, since {start:g} to {end:g} of them is none (80/10/10 needs 8). Add a column 'split' "
            f"(train, val, test), or more videos"
        )
    kept = set(ordered[first:last])
    return [record for record in records if media[record.media_key] in kept]


def _list_names(records: Iterable[TextRecord]) -> list[str]:
    return list(dict.fromkeys(record.media_key for record in records))


def _filter_listed(
    records: Iterable[TextRecord], path: Path, names: MediaNames, *, is_wanted: bool, key: str
) -> Iterator[TextRecord]:
    """Yield the records of media that a file lists, or of those that it does not list."""
    listed: set[str] = set()
    for name in read_keys(path):
        try:
            listed.add(names.identify(name))
        except AmbiguousNameError as error:
            raise AnnotationError(path, f"'{name}'", error.reason, "the name of one medium") from error
    has_found = False
    for record in records:
        is_listed = names.identify(record.media_key) in listed
        has_found = has_found or is_listed
        if is_listed == is_wanted:
            yield record
    if not has_found:
        logger.warning(
            "%s: none of the %d names in %s is in the annotations; for example '%s'",
            key,
            len(listed),
            path,
            min(listed, default=""),
        )


# A medium's texts mostly stand together: fifty regions of an image are one digest.
@functools.lru_cache(maxsize=256)
def hash_share(media_key: str) -> float:
    """Return a number in [0, 1) that depends on the key only, so that a split by it keeps each medium on one side."""
    digest = hashlib.blake2b(f"{_SUBSET_SEED}/{make_key(media_key)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def draw_texts(
    records: list[TextRecord], num_texts: int, seed: int, identify: Callable[[str], str] = make_key
) -> list[TextRecord]:
    """Draw one text each of ``num_texts`` media, in the order of the file; fewer media give one text each.

    Args:
        records: all records.
        num_texts: texts to draw.
        seed: same seed, same texts.
        identify: medium that a name stands for.
    """
    rows: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        rows.setdefault(identify(record.media_key), []).append(row)
    rng = np.random.default_rng(seed)
    # In the order of what is written, so that the same texts are drawn wherever the files lie.
    keys = sorted(rows, key=lambda medium: (make_key(records[rows[medium][0]].media_key), medium))
    chosen = rng.permutation(len(keys))[:num_texts]
    kept = sorted(rows[keys[media]][int(rng.integers(len(rows[keys[media]])))] for media in chosen)
    return [records[row] for row in kept]
