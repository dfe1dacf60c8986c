"""From a split's configured sources to its packed records: finds the files, filters keys, draws a subset.

Comes before ``tasks`` and after the parsers of ``annotations``.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clipbert_mmf.annotations import FORMATS, has_column, read_annotations, read_keys
from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.records import TextRecord
from clipbert_mmf.settings import read_setting
from clipbert_mmf.tasks.datasets import DatasetSpec

_SOURCE_KEYS = {
    "file",
    "split",
    "corpus",
    "answers",
    "only",
    "exclude",
    "share",
    "share_without_split",
    "num_texts",
    "columns",
}
#: A drawn subset is part of the data, not of a run: runs with other seeds are compared on it.
_SUBSET_SEED = 0


def find_file(root: Path, name: str, where: str) -> Path:
    """Find an annotation file: an absolute path, a path below ``root``, or its name anywhere below ``root``.

    Args:
        root: data directory.
        name: as configured.
        where: the configuration key, for messages.

    Raises:
        FileNotFoundError: if nothing or more than one file fits.
    """
    direct = root / name
    if direct.is_file():
        return direct
    found = sorted(path for path in root.rglob(Path(name).name) if path.is_file() and path.match(name))
    if len(found) == 1:
        return found[0]
    problem = (
        f"{len(found)} files have that name: {[str(path) for path in found]}" if found else "no such file"
    )
    raise FileNotFoundError(f"{where} is '{name}': {problem} below {root}; give its path from there")


def load_sources(sources: Any, root: Path, spec: DatasetSpec, *, where: str) -> PackedRecords:
    """Read all sources of a split, in order.

    Args:
        sources: a list of mappings with ``file`` and optionally ``split`` (owner's names), ``corpus`` (whose formats,
            where it is not the dataset's), ``answers`` (VQA's annotations beside its questions), ``only``, ``exclude``
            (a file that lists keys), ``share`` ([0, 0.9]: media whose seeded hash lies there), ``share_without_split`` (of
            the media in the order of these hashes, for a file without a column ``split``), ``num_texts`` and ``columns`` (how the file calls what the
            format calls otherwise); a plain file name stands for ``{file: name}``.
        root: data directory.
        spec: row of the table of datasets.
        where: the configuration key, for messages.

    Raises:
        ValueError: for an unknown key or a source that leaves no record.
        FileNotFoundError: if a file is not there.
        AnnotationError: for a malformed file.
    """

    def read_all() -> Iterator[TextRecord]:
        for source in [sources] if isinstance(sources, (str, Mapping)) else sources:
            source = {"file": source} if isinstance(source, str) else source
            unknown = sorted(set(source) - _SOURCE_KEYS)
            if unknown:
                raise ValueError(
                    f"{where}: unknown keys {unknown} of a source; allowed are {sorted(_SOURCE_KEYS)}"
                )
            yield from _read_source(source, root, spec, where)

    return PackedRecords.from_records(read_all())


def _read_source(source, root: Path, spec: DatasetSpec, where: str) -> Iterable[TextRecord]:
    path = find_file(root, source["file"], f"{where}.file")
    split, corpus = read_setting(source, "split"), read_setting(source, "corpus") or spec.corpus
    if corpus not in FORMATS:
        raise ValueError(f"{where}.corpus is '{corpus}'; allowed are {sorted(FORMATS)}")
    answers, columns = read_setting(source, "answers"), read_setting(source, "columns")
    columns = {ours: columns[ours] for ours in columns if columns[ours]} if columns else None
    lacks_split = read_setting(source, "share_without_split") is not None and not has_column(
        path, "split", columns
    )
    split = None if lacks_split else split
    records: Iterable[TextRecord] = read_annotations(
        path,
        corpus,
        splits=None if split is None else [split] if isinstance(split, str) else list(split),
        companion=find_file(root, answers, f"{where}.answers") if answers else None,
        columns=columns,
    )
    for key, keep in (("only", True), ("exclude", False)):
        if read_setting(source, key):
            listed = read_keys(find_file(root, source[key], f"{where}.{key}"))
            records = _filter_keys(
                records, lambda media_key, listed=listed, keep=keep: (media_key in listed) == keep
            )
    if lacks_split:
        records = _take_ranks(list(records), *_read_share(source["share_without_split"], where))
    if read_setting(source, "share") is not None:
        start, end = _read_share(source["share"], where)
        records = _filter_keys(records, lambda media_key: start <= hash_share(media_key) < end)
    if read_setting(source, "num_texts"):
        records = draw_texts(list(records), int(source["num_texts"]), _SUBSET_SEED)
    number = -1
    for number, record in enumerate(records):
        yield record
    if number < 0:
        raise ValueError(f"{where}: {path} has no record for {dict(source)}")


def _take_ranks(records: list[TextRecord], start: float, end: float) -> list[TextRecord]:
    """Keep a share of the media in the order of their hashes: exact even for a dozen of them."""
    keys = sorted({record.media_key for record in records}, key=hash_share)
    first, last = round(start * len(keys)), round(end * len(keys))
    kept = set(keys[first:last])
    return [record for record in records if record.media_key in kept]


def _filter_keys(records: Iterable[TextRecord], fits: Callable[[str], bool]) -> Iterator[TextRecord]:
    return (record for record in records if fits(record.media_key))


def _read_share(share, where: str) -> tuple[float, float]:
    values = [float(value) for value in share]
    if len(values) != 2 or not 0 <= values[0] < values[1] <= 1:
        raise ValueError(f"{where}.share is {list(share)}; expected [start, end] with 0 <= start < end <= 1")
    return values[0], values[1]


# A medium's texts mostly stand together: fifty regions of an image are one digest.
@functools.lru_cache(maxsize=256)
def hash_share(media_key: str) -> float:
    """Return a number in [0, 1) that depends on the key alone: a split by it keeps each medium on one side."""
    digest = hashlib.blake2b(f"{_SUBSET_SEED}/{media_key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def draw_texts(records: list[TextRecord], num_texts: int, seed: int) -> list[TextRecord]:
    """Draw one text each of ``num_texts`` media, in the order of the file; fewer media give one text each."""
    rows: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        rows.setdefault(record.media_key, []).append(row)
    rng = np.random.default_rng(seed)
    keys = sorted(rows)
    chosen = rng.permutation(len(keys))[:num_texts]
    kept = sorted(rows[keys[media]][int(rng.integers(len(rows[keys[media]])))] for media in chosen)
    return [records[row] for row in kept]
