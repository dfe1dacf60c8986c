"""Parses a user's own table or lines.

A video and a text, or a video, a question and its answer, one per row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clipbert_mmf.annotations.records import (
    AnnotationError,
    Entries,
    Source,
    TextRecord,
    read_window,
    refuse_twice,
    require,
    require_text,
)

#: Between options in a table.
OPTION_SEPARATOR = "|"


def parse_texts(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``video, text`` and optionally ``id, split, start_sec, end_sec``."""
    for row in _walk(source, entries):
        text = _read_text(row.entry, "text", source, row.place)
        yield TextRecord(row.media_key, text, row.text_id, window_sec=row.window_sec)


def parse_questions(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``video, question, answer`` and optionally ``options, type, id, split, start_sec, end_sec``.

    With options, the answer is one of them or its index.
    """
    for row in _walk(source, entries):
        question = _read_text(row.entry, "question", source, row.place)
        answer = str(require(row.entry, "answer", (str, int, float), source.path, row.place)).strip()
        if not answer:
            raise AnnotationError(source.path, f"{row.place}, 'answer'", answer, "an answer")
        options = _read_options(row.entry, source, row.place)
        yield TextRecord(
            row.media_key,
            question,
            row.text_id,
            options=options,
            answer=_find_option(answer, options, source, row.place) if options else answer,
            answer_type=str(row.entry.get("type") or ""),
            window_sec=row.window_sec,
        )


class _Row:
    """The columns that both kinds of rows share."""

    def __init__(self, source: Source, place: str, entry: dict[str, Any], number: int):
        self.place, self.entry = place, entry
        name = str(require(entry, "video", (str, int), source.path, place)).strip()
        # As it is written, with its ending: the store says which file that is.
        self.media_key = name
        if not self.media_key:
            raise AnnotationError(
                source.path, f"{place}, 'video'", name, "a file's name, with or without its ending"
            )
        self.text_id = str(entry.get("id") or number)
        self.window_sec = read_window(entry, source.path, place)


def _walk(source: Source, entries: Entries) -> Iterator[_Row]:
    seen: set[str] = set()
    splits: set[str] = set()
    found = False
    for number, (place, entry) in enumerate(entries):
        row = _Row(source, place, entry, number)
        if entry.get("id"):
            refuse_twice(seen, row.text_id, "id", source.path, place)
            seen.add(row.text_id)
        split = str(entry.get("split") or "").strip()
        splits.add(split)
        if source.splits is None or split in source.splits:
            found = True
            yield row
    if not found and splits:
        raise AnnotationError(source.path, "column 'split'", sorted(splits), f"a row of {source.splits}")


def _read_text(entry: dict[str, Any], key: str, source: Source, place: str) -> str:
    text = require_text(entry, key, source.path, place)
    if not text:
        raise AnnotationError(source.path, f"{place}, '{key}'", text, "words")
    return text


def _read_options(entry: dict[str, Any], source: Source, place: str) -> tuple[str, ...]:
    given = entry.get("options") or ()
    options = given.split(OPTION_SEPARATOR) if isinstance(given, str) else given
    options = tuple(" ".join(str(option).split()) for option in options)
    if given and (len(options) < 2 or not all(options)):
        raise AnnotationError(
            source.path,
            f"{place}, 'options'",
            given,
            f"at least two, separated by {OPTION_SEPARATOR} in a table",
        )
    return options


def _find_option(answer: str, options: tuple[str, ...], source: Source, place: str) -> int:
    answer = " ".join(answer.split())
    if answer in options:
        return options.index(answer)
    if answer.isdigit() and int(answer) < len(options):
        return int(answer)
    raise AnnotationError(source.path, f"{place}, 'answer'", answer, f"one of {list(options)} or its index")
