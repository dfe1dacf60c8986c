"""Parses MSR-VTT: captions (JSON of 2016 and 2017, the 1k test), multiple choice, questions.

The owners' and ClipBERT's.
"""

from __future__ import annotations

from collections.abc import Iterator
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

#: The 2016 release calls its validation split ``validate``.
SPLIT_NAMES = {"validate": "val"}


def parse_videodatainfo(source: Source, document: Any) -> Iterator[TextRecord]:
    """Yield the captions of ``{"videos": [...], "sentences": [...]}`` in file order, of the given splits.

    Raises:
        AnnotationError: for a missing key, an unknown split, a sentence of an unknown video, or a repeated
            video.
    """
    path = source.path
    split_of: dict[str, str] = {}
    for number, video in enumerate(require(document, "videos", list, path, "top level")):
        place = f"videos[{number}]"
        key = require(video, "video_id", str, path, place)
        refuse_twice(split_of, key, "video_id", path, place)
        split: str = require(video, "split", str, path, place)
        split_of[key] = SPLIT_NAMES.get(split, split)
    wanted = None if source.splits is None else {SPLIT_NAMES.get(split, split) for split in source.splits}
    if wanted is not None and not wanted & set(split_of.values()):
        raise AnnotationError(path, "videos", sorted(set(split_of.values())), f"a split of {sorted(wanted)}")
    for number, sentence in enumerate(require(document, "sentences", list, path, "top level")):
        place = f"sentences[{number}]"
        key = require(sentence, "video_id", str, path, place)
        if key not in split_of:
            raise AnnotationError(path, place, key, "a video_id of 'videos'")
        if wanted is None or split_of[key] in wanted:
            caption = require_text(sentence, "caption", path, place)
            yield TextRecord(key, caption, str(require(sentence, "sen_id", (int, str), path, place)))


def parse_retrieval_table(source: Source, rows: Entries) -> Iterator[TextRecord]:
    """Yield the rows of ``key,vid_key,video_id,sentence``; ``key`` is the identity, sentences repeat."""
    seen: set[str] = set()
    for place, row in rows:
        refuse_twice(seen, row["key"], "key", source.path, place)
        seen.add(row["key"])
        yield TextRecord(
            row["video_id"].strip(),
            require_text(row, "sentence", source.path, place),
            row["key"],
            window_sec=read_window(row, source.path, place),
        )


def parse_retrieval_lines(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``{"caption", "clip_name", "sen_id" | "retrieval_key"}``.

    A caption may be a list of sentences.
    """
    for place, entry in entries:
        read = require_texts if isinstance(entry.get("caption"), list) else require_text
        caption = read(entry, "caption", source.path, place)
        caption = caption if isinstance(caption, str) else " ".join(filter(None, caption))
        text_id = str(entry.get("retrieval_key", entry.get("sen_id", place)))
        key = str(require(entry, "clip_name", (str, int), source.path, place))
        yield TextRecord(key, caption, text_id, window_sec=read_window(entry, source.path, place))


def parse_captions_by_video(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield the captions of ``{"video_id": "video0", "caption": "..." | [20]}``, the form of the Hugging Face hub."""
    for place, entry in entries:
        key = require(entry, "video_id", str, source.path, place)
        if isinstance(entry.get("caption"), list):
            captions = require_texts(entry, "caption", source.path, place)
        else:
            captions = (require_text(entry, "caption", source.path, place),)
        window_sec = read_window(entry, source.path, place)
        for number, caption in enumerate(captions):
            text_id = f"{key}#{number}" if len(captions) > 1 else key
            yield TextRecord(key, caption, text_id, window_sec=window_sec)


def parse_choice_lines(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``{"qid", "clip_name", "answer": "2", "options": [5]}``.

    The answer is a 0-based index, often a string.
    """
    for number, (place, entry) in enumerate(entries):
        options = require_texts(entry, "options", source.path, place)
        answer = parse_option_index(entry.get("answer"), len(options), source.path, place)
        key = str(require(entry, "clip_name", (str, int), source.path, place))
        window_sec = read_window(entry, source.path, place)
        yield TextRecord(
            key, "", str(entry.get("qid", number)), options=options, answer=answer, window_sec=window_sec
        )


def parse_choice_table(source: Source, rows: Entries) -> Iterator[TextRecord]:
    """Yield the rows of ``vid_key a1..a5 answer``; ``msr9770`` is ``video9770``."""
    for number, (place, row) in enumerate(rows):
        options = tuple(require_text(row, f"a{i}", source.path, place) for i in range(1, 6))
        answer = parse_option_index(row["answer"], 5, source.path, place)
        key = row["vid_key"].strip()
        if not key.startswith("msr"):
            raise AnnotationError(source.path, place, key, "a vid_key such as 'msr9770'")
        window_sec = read_window(row, source.path, place)
        text_id = row.get("key", str(number))
        yield TextRecord(
            "video" + key[3:], "", text_id, options=options, answer=answer, window_sec=window_sec
        )


def first_word(question: str) -> str:
    """Return MSRVTT-QA's answer type: what, who, how, when, where."""
    return question.split(" ", 1)[0].lower()


def parse_questions(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``{"answer", "id", "question", "video_id": 6513}``, the file is ``video6513``.

    ClipBERT's lines too.

    Those name the video as it is, carry ``answer_type`` and no ``id``.
    """
    seen: set[object] = set()
    for place, entry in entries:
        if "id" in entry:
            refuse_twice(seen, entry["id"], "id", source.path, place)
            seen.add(entry["id"])
        question = require_text(entry, "question", source.path, place)
        video = require(entry, "video_id", (int, str), source.path, place)
        yield TextRecord(
            f"video{video}" if isinstance(video, int) else video,
            question,
            str(entry.get("id", place)),
            answer=require_text(entry, "answer", source.path, place),
            answer_type=str(entry.get("answer_type") or first_word(question)),
            window_sec=read_window(entry, source.path, place),
        )


def parse_questions_by_video(source: Source, document: Any) -> Iterator[TextRecord]:
    """Yield ``{"video6513": [{"question", "answer"}, ...]}``, a re-save that circulates."""
    for key in document:
        for number, entry in enumerate(require(document, key, list, source.path, "top level")):
            place = f"'{key}'[{number}]"
            question = require_text(entry, "question", source.path, place)
            yield TextRecord(
                key,
                question,
                f"{key}-{number}",
                answer=require_text(entry, "answer", source.path, place),
                answer_type=first_word(question),
                window_sec=read_window(entry, source.path, place),
            )
