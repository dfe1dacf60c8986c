"""Parses TGIF-QA: four tables that end in ``.csv`` and are tab separated, and ClipBERT's lines of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipbert_mmf.annotations.records import (
    AnnotationError,
    Entries,
    Source,
    TextRecord,
    parse_option_index,
    read_window,
    refuse_twice,
    require,
    require_text,
    require_texts,
)


def _identify(entry: dict[str, Any], seen: set[str], path: Path, place: str) -> str:
    """Return the question's id, ``vid_id`` in the owner's tables; the line where there is none."""
    if "vid_id" not in entry:
        return place
    refuse_twice(seen, entry["vid_id"], "vid_id", path, place)
    seen.add(entry["vid_id"])
    return str(entry["vid_id"])


#: Classes of FrameQA's questions, by the number in the column ``type``.
ANSWER_TYPES = ("object", "number", "color", "location")


def parse_choices(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield action and transition questions: columns a1 to a5, or a list ``options``.

    The answer is a 0-based index.
    """
    seen: set[str] = set()
    for place, entry in entries:
        if "options" in entry:
            options = require_texts(entry, "options", source.path, place)
        else:
            options = tuple(require_text(entry, f"a{i}", source.path, place) for i in range(1, 6))
        yield TextRecord(
            str(require(entry, "gif_name", str, source.path, place)).strip(),
            require_text(entry, "question", source.path, place),
            _identify(entry, seen, source.path, place),
            options=options,
            answer=parse_option_index(entry.get("answer"), len(options), source.path, place),
            window_sec=read_window(entry, source.path, place),
        )


def parse_frame_questions(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield FrameQA: an answer of one word, with its type."""
    seen: set[str] = set()
    for place, entry in entries:
        answer_type = str(entry["answer_type"] if "answer_type" in entry else entry.get("type", ""))
        if answer_type.isdecimal():
            if int(answer_type) >= len(ANSWER_TYPES):
                raise AnnotationError(
                    source.path, f"{place}, 'type'", answer_type, f"0 to {len(ANSWER_TYPES) - 1}"
                )
            answer_type = ANSWER_TYPES[int(answer_type)]
        yield TextRecord(
            str(require(entry, "gif_name", str, source.path, place)).strip(),
            require_text(entry, "question", source.path, place),
            _identify(entry, seen, source.path, place),
            answer=require_text(entry, "answer", source.path, place),
            answer_type=answer_type,
            window_sec=read_window(entry, source.path, place),
        )


def parse_counts(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield repetition counts: the answer is a whole number."""
    seen: set[str] = set()
    for place, entry in entries:
        answer = str(require(entry, "answer", (str, int), source.path, place)).strip()
        if not answer.isdecimal():
            raise AnnotationError(source.path, f"{place}, 'answer'", answer, "a whole number")
        yield TextRecord(
            str(require(entry, "gif_name", str, source.path, place)).strip(),
            require_text(entry, "question", source.path, place),
            _identify(entry, seen, source.path, place),
            answer=int(answer),
            window_sec=read_window(entry, source.path, place),
        )
