"""Parses MSVD-QA and ActivityNet-QA: open-ended questions about videos from YouTube."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clipbert_mmf.annotations.msrvtt import first_word
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

#: ActivityNet-QA's classes of questions, by the number in ``type``.
ANSWER_TYPES = ("motion", "spatial", "temporal", "yes/no", "color", "object", "location", "number", "other")
#: Letters of an id of YouTube; the files of ActivityNet have ``v_`` in front of it.
_ID_LENGTH = 11


def parse_msvd(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield MSVD-QA's ``{"answer", "id", "question", "video_id": 1}``, and lines that name the video as it is.

    Video 1 is ``vid1`` of ``youtube_mapping.txt`` and called as its line there says; ``vid1`` without such a file.
    """
    seen: set[object] = set()
    for place, entry in entries:
        if "id" in entry:
            refuse_twice(seen, entry["id"], "id", source.path, place)
            seen.add(entry["id"])
        video = require(entry, "video_id", (int, str), source.path, place)
        name = f"vid{video}" if isinstance(video, int) else video
        if source.mapping is not None and isinstance(video, int) and name not in source.mapping:
            raise AnnotationError(
                source.path, f"{place}, 'video_id'", video, f"'{name}' in the mapping of names"
            )
        question = require_text(entry, "question", source.path, place)
        yield TextRecord(
            (source.mapping or {}).get(name, name),
            question,
            str(entry.get("id", place)),
            answer=require_text(entry, "answer", source.path, place),
            answer_type=str(entry.get("answer_type") or first_word(question)),
            window_sec=read_window(entry, source.path, place),
        )


def parse_activitynet(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ActivityNet-QA's ``{"video_name", "question", "question_id"}``, with the answers of a file beside it.

    A record may also hold its ``answer`` and ``type`` itself.
    """
    answers: dict[str, dict[str, Any]] = {}
    if source.companion is not None:
        path, document = source.companion
        for number, entry in enumerate(document if isinstance(document, list) else [document]):
            answers[str(require(entry, "question_id", (str, int), path, f"record {number}"))] = entry
    seen: set[str] = set()
    for place, entry in entries:
        question_id = str(require(entry, "question_id", (str, int), source.path, place))
        refuse_twice(seen, question_id, "question_id", source.path, place)
        seen.add(question_id)
        given = entry if "answer" in entry else answers.get(question_id)
        if given is None:
            where = (
                source.companion[0] if source.companion else "a file of answers (key 'answers' of the source)"
            )
            raise AnnotationError(source.path, place, question_id, f"its answer in {where}")
        kind = str(given.get("type", ""))
        if kind.isdecimal():
            if int(kind) >= len(ANSWER_TYPES):
                raise AnnotationError(source.path, f"{place}, 'type'", kind, f"0 to {len(ANSWER_TYPES) - 1}")
            kind = ANSWER_TYPES[int(kind)]
        name = require(entry, "video_name", str, source.path, place).strip()
        yield TextRecord(
            f"v_{name}" if len(name) == _ID_LENGTH else name,
            require_text(entry, "question", source.path, place),
            question_id,
            answer=str(require(given, "answer", (str, int), source.path, place)).strip(),
            answer_type=kind,
            window_sec=read_window(entry, source.path, place),
        )
