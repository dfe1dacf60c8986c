"""Lists the annotation formats and finds the one of a file by its content.

A file is a table, JSON lines, a JSON array or a JSON object; its first record or its header then decides the
format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbert_mmf.annotations import images, msrvtt, own, paragraphs, tgif, video_questions
from clipbert_mmf.annotations.columns import DEFAULT_KEY, Columns, find_columns, find_media_columns
from clipbert_mmf.annotations.reading import (
    is_parquet,
    iterate_array,
    iterate_lines,
    iterate_parquet,
    iterate_table,
    open_text,
    read_header,
    read_json,
    read_mapping,
    read_start,
)
from clipbert_mmf.annotations.records import AnnotationError, Source, TextRecord, WrongTableError
from clipbert_mmf.json_text import parse_json
from clipbert_mmf.tables import is_same_definition
from clipbert_mmf.video.endings import ALL_ENDINGS, ending_of

#: Kind of file -> its name in errors.
KINDS = {
    "table": "a table (tab, comma or semicolon separated) with columns",
    "lines": "JSON lines with keys",
    "array": "a JSON array of objects with keys",
    "object": "a JSON object with keys",
}
_ITERATORS = {"table": iterate_table, "lines": iterate_lines, "array": iterate_array}


@dataclass(frozen=True)
class AnnotationFormat:
    """One layout of annotation files.

    Attributes:
        kind: a key of ``KINDS``.
        keys: columns or keys that must be there.
        parse: turns ``Source`` and the object, or its records with their places, into ``TextRecord``s.
        within: list whose first element must have ``keys``, instead of the top level (``object`` only).
        pattern: every key of the object matches it (objects keyed by video).
        without: columns or keys that another layout with the same ``keys`` has.
        strings: keys whose value in the first record is a string.
        is_captions: whether it goes first where the task reads texts without questions.
        optional: further columns of a table that people name as they like; empty where the owner's names are fixed.
    """

    kind: str
    keys: tuple[str, ...]
    parse: Callable[..., Iterator[TextRecord]]
    within: str = ""
    pattern: str = ""
    without: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()
    is_captions: bool = False
    optional: tuple[str, ...] = ()

    def fits(self, kind: str, sample: Any) -> bool:
        """Return whether content of ``kind`` whose header, first record or document is ``sample`` is of this format."""
        if kind != self.kind:
            return False
        if self.pattern:
            return bool(sample) and all(re.fullmatch(self.pattern, key) for key in sample)
        if self.within:
            entries = sample.get(self.within)
            sample = (
                entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else {}
            )
        if any(key in sample for key in self.without):
            return False
        return all(key in sample for key in self.keys) and all(
            isinstance(sample.get(key), str) for key in self.strings
        )

    def describe(self) -> str:
        """Return the name of the format in errors."""
        where = f" in '{self.within}'" if self.within else ""
        names = f"like {self.pattern}" if self.pattern else ", ".join(self.keys)
        strings = f" ({', '.join(self.strings)} a string)" if self.strings else ""
        without = f" (without {', '.join(self.without)})" if self.without else ""
        return f"{KINDS[self.kind]} {names}{where}{strings}{without}"


_CAPTION_LINES = AnnotationFormat("lines", ("caption", "clip_name"), msrvtt.parse_retrieval_lines)
_PRETRAINING_LINES = tuple(
    AnnotationFormat("lines", (name, "caption"), images.parse_pretraining_lines)
    for name in ("coco_id", "vg_id", "image_id")
)
#: Further columns of every own table.
_SHARED = ("split", "id", "start_sec", "end_sec")
_OPTIONS = ("a1", "a2", "a3", "a4", "a5")
_COCO = (
    AnnotationFormat("object", ("sentences", "filename"), images.parse_karpathy, within="images"),
    AnnotationFormat("object", ("images", "annotations"), images.parse_captions),
)
_REGIONS = (AnnotationFormat("array", ("regions",), images.parse_regions),)

#: Corpus -> its formats; the first that fits is taken.
FORMATS: dict[str, tuple[AnnotationFormat, ...]] = {
    "msrvtt": (
        AnnotationFormat("object", ("videos", "sentences"), msrvtt.parse_videodatainfo),
        AnnotationFormat("table", ("key", "video_id", "sentence"), msrvtt.parse_retrieval_table),
        _CAPTION_LINES,
        AnnotationFormat("array", ("video_id", "caption"), msrvtt.parse_captions_by_video),
    ),
    "msrvtt_choice": (
        AnnotationFormat("table", ("vid_key", *_OPTIONS, "answer"), msrvtt.parse_choice_table),
        AnnotationFormat("lines", ("clip_name", "options", "answer"), msrvtt.parse_choice_lines),
    ),
    "msrvtt_qa": (
        # MSVD-QA's file has all but the category; there, video 1 is another one.
        AnnotationFormat("array", ("question", "answer", "video_id", "category_id"), msrvtt.parse_questions),
        AnnotationFormat(
            "array", ("question", "answer", "video_id"), msrvtt.parse_questions, strings=("video_id",)
        ),
        AnnotationFormat("lines", ("question", "answer", "video_id"), msrvtt.parse_questions),
        AnnotationFormat("object", (), msrvtt.parse_questions_by_video, pattern=r"video\d+"),
    ),
    "msvd_qa": tuple(
        AnnotationFormat(
            kind, ("question", "answer", "video_id"), video_questions.parse_msvd, without=("category_id",)
        )
        for kind in ("array", "lines")
    ),
    "activitynet_qa": tuple(
        AnnotationFormat(kind, ("video_name", "question", "question_id"), video_questions.parse_activitynet)
        for kind in ("array", "lines")
    ),
    "didemo": (
        AnnotationFormat("array", ("video", "description", "times"), paragraphs.parse_didemo),
        _CAPTION_LINES,
    ),
    "activitynet": (
        AnnotationFormat("object", (), paragraphs.parse_activitynet, pattern=r"v_.+"),
        _CAPTION_LINES,
    ),
    "tgif_choice": (
        AnnotationFormat("table", ("gif_name", "question", *_OPTIONS, "answer"), tgif.parse_choices),
        AnnotationFormat("lines", ("gif_name", "question", "options", "answer"), tgif.parse_choices),
    ),
    "tgif_frameqa": (
        AnnotationFormat("table", ("gif_name", "question", "answer", "type"), tgif.parse_frame_questions),
        AnnotationFormat(
            "lines", ("gif_name", "question", "answer", "answer_type"), tgif.parse_frame_questions
        ),
    ),
    "tgif_count": tuple(
        AnnotationFormat(
            kind,
            ("gif_name", "question", "answer"),
            tgif.parse_counts,
            without=("a1", "options", "type", "answer_type"),
        )
        for kind in ("table", "lines")
    ),
    "coco_captions": (*_COCO, *_PRETRAINING_LINES),
    "visual_genome": (*_REGIONS, *_PRETRAINING_LINES),
    "image_text": (*_COCO, *_REGIONS, *_PRETRAINING_LINES),
    "vqa2": (
        AnnotationFormat("object", ("questions", "data_subtype"), images.parse_vqa),
        AnnotationFormat("lines", ("question", "image_id", "labels"), images.parse_vqa_lines),
    ),
    "video_text": tuple(
        AnnotationFormat(kind, keys, parse, is_captions="text" in keys, optional=(*optional, *_SHARED))
        for keys, parse, optional in (
            (("video", "question", "answer"), own.parse_questions, ("options", "type")),
            (("video", "text"), own.parse_texts, ()),
        )
        for kind in ("table", "lines", "array")
    ),
    "video_predictions": tuple(
        AnnotationFormat(kind, keys, parse, optional=(*optional, *_SHARED))
        for keys, parse, optional in (
            (("video", "question"), own.parse_asked, ("options",)),
            (("video", "text"), own.parse_texts, ()),
        )
        for kind in ("table", "lines", "array")
    ),
}


def register_format(corpus: str, *formats: AnnotationFormat) -> None:
    """Add formats to a corpus, or a new corpus; the first that fits a file is taken.

    Raises:
        ValueError: for a kind that is none of ``KINDS``.
    """
    for added in formats:
        if added.kind not in KINDS:
            raise ValueError(f"a format's kind is '{added.kind}'; allowed are {sorted(KINDS)}")
    known = FORMATS.get(corpus, ())
    again = [one for one in known if any(is_same_definition(one.parse, added.parse) for added in formats)]
    FORMATS[corpus] = (*(one for one in known if one not in again), *formats)


def read_annotations(
    path: Path,
    corpus: str,
    splits: list[str] | None = None,
    companion: Path | None = None,
    columns: Mapping[str, str] | None = None,
    *,
    mapping: Path | None = None,
    needs: str = "",
    columns_key: str = DEFAULT_KEY,
) -> Iterator[TextRecord]:
    """Yield the records of an annotation file.

    Args:
        path: the owner's file or ClipBERT's lines of the same corpus.
        corpus: a key of ``FORMATS``.
        splits: the owner's names of the wanted splits; None for all, or where a file has no splits.
        companion: a second file that belongs to it (VQA's annotations beside its questions).
        columns: our name of a column -> its name in the file: ``{"video": "file_name"}``.
        mapping: a file of names of media, ``youtube_mapping.txt`` of MSVD.
        needs: records that the task reads, a key of ``RECORD_KINDS``; empty takes any.
        columns_key: dotted key that names columns, for messages.

    Raises:
        AnnotationError: if the content is of no known format of the corpus, malformed, or holds no record.
        WrongTableError: if it is another task's file.
    """
    path = Path(path)
    kind, sample = _classify(path)
    chosen, found = _choose_format(path, corpus, kind, sample, columns or {}, columns_key, needs)
    found.log(path)
    second = None if companion is None else (companion, read_json(companion))
    names = None if mapping is None else read_mapping(mapping)
    source = Source(path, splits, second, names, needs, columns_key)
    content = sample
    if kind != "object":
        content = _iterate(path, kind)
        if chosen.optional and kind != "table":
            content = _rename_mixed(content, path, list(sample), found, chosen, columns_key)
        elif found.differs:
            content = ((place, found.rename(entry)) for place, entry in content)
    is_empty = True
    for record in chosen.parse(source, content):
        is_empty = False
        yield record
    if is_empty:
        raise AnnotationError(
            path, "whole file", "no record", f"a record{f' of split {splits}' if splits else ''}"
        )


def _rename_mixed(
    content: Iterable[tuple[str, Any]],
    path: Path,
    names: list[str],
    found: Columns,
    chosen: AnnotationFormat,
    columns_key: str,
) -> Iterator[tuple[str, Any]]:
    """Yield records under our names; further ones may have keys that the first lacks."""
    known = set(names)
    for place, entry in content:
        if isinstance(entry, dict) and not entry.keys() <= known:
            names += [name for name in entry if name not in known]
            known.update(entry)
            found = find_columns(path, names, found.theirs, columns_key, (*chosen.keys, *chosen.optional))
            found.log(path)
        yield place, found.rename(entry)


def has_column(
    path: Path,
    name: str,
    columns: Mapping[str, str] | None = None,
    corpus: str = "video_text",
    columns_key: str = DEFAULT_KEY,
) -> bool:
    """Return whether a table's header, or the first record of lines or an array, has a column, by our name of it."""
    path = Path(path)
    kind, sample = _classify(path)
    found = _choose_format(path, corpus, kind, sample, columns or {}, columns_key)[1]
    return name in found or name in sample


def _iterate(path: Path, kind: str) -> Iterator[tuple[str, Any]]:
    return iterate_parquet(path) if is_parquet(path) else _ITERATORS[kind](path)


def _choose_format(
    path: Path,
    corpus: str,
    kind: str,
    sample: Any,
    columns: Mapping[str, str],
    columns_key: str,
    needs: str = "",
) -> tuple[AnnotationFormat, Columns]:
    """Return the format of a file, and its columns by our names."""
    doubts: list[AnnotationError] = []
    formats = FORMATS[corpus]
    if needs == "captions":
        formats = sorted(formats, key=lambda known: not known.is_captions)
    for known in formats:
        roles = (*known.keys, *known.optional) if known.optional else ()
        found = Columns()
        if kind == known.kind and kind != "object":
            try:
                found = find_columns(path, sample, columns, columns_key, roles)
            except AnnotationError as doubt:
                doubts.append(doubt)
                continue
        if known.fits(kind, found.rename(sample)):
            return known, found
    if doubts:
        raise doubts[0]
    raise _describe_misfit(path, corpus, kind, sample, columns_key)


def _classify(path: Path) -> tuple[str, Any]:
    """Return the kind of file, and its document, first record or header as a mapping."""
    if is_parquet(path):
        return "array", next(iterate_parquet(path), ("", {}))[1]
    text = read_start(path).lstrip()
    if text[0] == "[":
        place, first = next(iterate_array(path), ("record 0", {}))
        if not isinstance(first, dict):
            raise AnnotationError(path, place, first, "an object")
        return "array", first
    if text[0] != "{":
        return "table", dict.fromkeys(read_header(path).names)
    with open_text(path) as file:
        lines = (line for line in file if line.strip())
        line = next(lines)
        has_more = next(lines, None) is not None
    try:
        first = parse_json(line)
    except json.JSONDecodeError:
        return "object", _read_object(path)
    if has_more:
        return "lines", first
    return ("object" if _is_document(first) else "lines"), first


def _is_document(entry: dict) -> bool:
    # One line alone is either: a document holds lists of objects or is keyed by video.
    return any(known.fits("object", entry) for formats in FORMATS.values() for known in formats)


def _read_object(path: Path) -> dict:
    document = read_json(path)
    if not isinstance(document, dict):
        raise AnnotationError(path, "top level", document, "a JSON object")
    return document


def _describe_misfit(path: Path, corpus: str, kind: str, sample: dict, columns_key: str) -> AnnotationError:
    others = tuple(
        name for name, formats in FORMATS.items() if any(known.fits(kind, sample) for known in formats)
    )
    expected = "; or ".join(dict.fromkeys(known.describe() for known in FORMATS[corpus]))
    hint = f" (this one looks like {', '.join(others)})" if others else ""
    if any(known.optional for known in FORMATS[corpus]) and kind != "object":
        hint += f"; where a column has another name, set {columns_key}.video=<column>, and so on"
    place = "line 1" if kind in ("table", "lines") else "top level" if kind == "object" else "record 0"
    found = sorted(map(str, sample))[:12]
    return WrongTableError(path, place, found, f"{corpus}: {expected}{hint}", corpora=others)


def read_keys(path: Path) -> set[str]:
    """Return the media that a file lists.

    A table, JSON lines or an array with a column of media, a JSON array of names, or one name a line.

    Raises:
        AnnotationError: if the file is empty, is not text, or has columns and none of media.
    """
    if is_parquet(path):
        return _read_column(path, next(iterate_parquet(path), ("", {}))[1], iterate_parquet(path))
    start = read_start(path).lstrip()
    if start[0] == "[":
        first = next(iterate_array(path), ("", ""))[1]
        if isinstance(first, dict):
            return _read_column(path, first, iterate_array(path))
        return {_require_name(path, place, key) for place, key in iterate_array(path)}
    if start[0] == "{":
        return _read_column(path, next(iterate_lines(path))[1], iterate_lines(path))
    header = read_header(path)
    # One name a line may hold commas.
    is_list = ending_of(header.separator.join(header.names)) in ALL_ENDINGS
    if not is_list and (len(header.names) > 1 or find_media_columns(header.names)):
        return _read_column(path, header.names, iterate_table(path))
    with open_text(path) as file:
        return {line.strip() for line in file if line.strip()}


def _read_column(path: Path, names: Iterable[str], entries: Iterable[tuple[str, Any]]) -> set[str]:
    found = find_media_columns(names)
    if len(found) != 1:
        raise AnnotationError(
            path,
            "columns",
            found or list(names)[:12],
            "one column of media, such as 'video_id', or one name a line",
        )
    return {_require_name(path, place, entry.get(found[0])) for place, entry in entries}


def _require_name(path: Path, place: str, name: object) -> str:
    if not isinstance(name, (str, int)) or isinstance(name, bool) or not str(name).strip():
        raise AnnotationError(path, place, name, "the name of a medium")
    return str(name).strip()
