"""Defines the record that every parser yields, the checks they share, and the error all of them raise."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Place and record, one after the other.
Entries = Iterator[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class TextRecord:
    """One text about one medium.

    Attributes:
        media_key: the medium as the file names it: a path or the end of one, with or without its ending. A
            dataset puts the key in the store in its place.
        text: caption or question, white space normalised.
        text_id: the owner's id.
        options: choices of a multiple-choice question.
        answer: a string, the 0-based index of the correct option, or a count; None where there is none.
        answer_type: the owner's or the question's class.
        soft_answers: answers with their scores, 0 to 1.
        all_answers: the answer of each annotator.
        window_sec: start and end of the part of the video that the text is about, the end infinite where it
            goes on to the end of the video; None for all of it.
    """

    media_key: str
    text: str
    text_id: str
    options: tuple[str, ...] = ()
    answer: str | int | None = None
    answer_type: str = ""
    soft_answers: tuple[tuple[str, float], ...] = ()
    all_answers: tuple[str, ...] = ()
    window_sec: tuple[float, float] | None = None


@dataclass(frozen=True)
class Source:
    """An annotation file that is being parsed.

    Attributes:
        path: the file.
        splits: the owner's names of the wanted splits, None for all.
        companion: path and document of a second file (VQA's answers), or None.
        mapping: names of media in this file -> their names in the store, or None.
        needs: records that the task reads, a key of ``RECORD_KINDS``; empty takes any.
        columns_key: dotted key that names columns, for messages.
    """

    path: Path
    splits: list[str] | None = None
    companion: tuple[Path, Any] | None = None
    mapping: dict[str, str] | None = None
    needs: str = ""
    columns_key: str = "columns"


class AnnotationError(ValueError):
    """A malformed annotation file: names the file, the place, what was found and what is expected."""

    def __init__(self, path: str | Path, place: str, found: object, expected: str):
        shown = repr(found)
        super().__init__(
            f"{path}, {place}: found {shown if len(shown) <= 120 else shown[:117] + '...'}; expected "
            f"{expected}"
        )


#: Kind of records -> its name in messages; a task says which it reads.
RECORD_KINDS = {
    "captions": "texts without questions",
    "answers": "questions with answers and without options",
    "options": "questions with options",
    "counts": "questions whose answers are whole numbers, without options",
}


class WrongTableError(AnnotationError):
    """A file of another task.

    Attributes:
        holds: kind of its records, a key of ``RECORD_KINDS``; empty where ``corpora`` say it.
        corpora: corpora that the file may be of.
    """

    def __init__(
        self,
        path: str | Path,
        place: str,
        found: object,
        expected: str,
        holds: str = "",
        corpora: tuple[str, ...] = (),
    ):
        super().__init__(path, place, found, expected)
        self.holds, self.corpora = holds, corpora


def tell_kind(record: TextRecord) -> str:
    """Return the kind of a record, a key of ``RECORD_KINDS``; a count is an answer."""
    if record.options:
        return "options"
    if record.answer is None and not record.soft_answers:
        return "captions"
    return "answers"


def require(entry: object, key: str, kinds: type | tuple[type, ...], path: str | Path, place: str) -> Any:
    """Return ``entry[key]``, or raise ``AnnotationError`` where it is missing or of another kind."""
    if not isinstance(entry, dict):
        raise AnnotationError(path, place, entry, f"an object with '{key}'")
    if key not in entry:
        raise AnnotationError(path, place, sorted(map(str, entry)), f"a key '{key}'")
    value = entry[key]
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise AnnotationError(path, f"{place}, '{key}'", value, f"a value of type {names}")
    return value


def require_text(entry: object, key: str, path: str | Path, place: str) -> str:
    """Return a string with its white space normalised; the owners' files hold stray blanks and newlines."""
    return " ".join(require(entry, key, str, path, place).split())


def require_texts(entry: object, key: str, path: str | Path, place: str) -> tuple[str, ...]:
    """Return the strings of a list with their white space normalised."""
    values = require(entry, key, list, path, place)
    for number, value in enumerate(values):
        if not isinstance(value, str):
            raise AnnotationError(path, f"{place}, '{key}'[{number}]", value, "a value of type str")
    return tuple(" ".join(value.split()) for value in values)


def refuse_twice(seen: Container[object], key: object, name: str, path: str | Path, place: str) -> None:
    """Raise ``AnnotationError`` where an identity appears again."""
    if key in seen:
        raise AnnotationError(path, place, key, f"each {name} once")


def parse_option_index(value: object, num_options: int, path: str | Path, place: str) -> int:
    """Return the 0-based index of the correct option, given as a number or a string of one.

    Raises:
        AnnotationError: if it is none, or there is no such option.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", text) or int(text) >= num_options:
        raise AnnotationError(path, f"{place}, 'answer'", value, f"an option's index, 0 to {num_options - 1}")
    return int(text)


#: Names of the start and of the end of a part of a video; the first that a record has counts.
_WINDOW_KEYS = (("start_sec", "start"), ("end_sec", "end"))
_ALL_WINDOW_KEYS = frozenset(name for both in _WINDOW_KEYS for name in both)
#: ``HH:MM:SS.f`` and ``MM:SS``; subtitles have a comma before the fraction.
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)")


def parse_time(given: object) -> float:
    """Return a time in seconds, given as a number or as ``HH:MM:SS(.f)`` or ``MM:SS(.f)``.

    Raises:
        ValueError: if it is none, or below 0.
    """
    text = str(given).strip()
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, seconds = clock.groups()
        if (int(minutes) > 59 and hours) or float(seconds.replace(",", ".")) >= 60:
            raise ValueError(f"{given!r} is no time of day")
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
    time = math.nan if "_" in text else float(text)  # Python's own way to write a number
    if isinstance(given, bool) or not 0 <= time < math.inf:
        raise ValueError(f"{given!r} is no time")
    return time


def read_window(entry: dict[str, Any], path: str | Path, place: str) -> tuple[float, float] | None:
    """Return the part of the video that a record is about.

    ``start_sec`` and ``end_sec``, or ``start`` and ``end``.

    Without a start it begins at 0, without an end it goes on to the end of the video (infinite); without both
    it is None.

    Raises:
        AnnotationError: for what is no time, or an end that is not after the start.
    """
    if _ALL_WINDOW_KEYS.isdisjoint(entry):
        return None
    names = [next((name for name in both if name in entry), both[0]) for both in _WINDOW_KEYS]
    given = [entry.get(name) for name in names]
    is_given = [value is not None and str(value).strip() != "" for value in given]
    if not any(is_given):
        return None
    try:
        start = parse_time(given[0]) if is_given[0] else 0.0
        end = parse_time(given[1]) if is_given[1] else math.inf
    except ValueError:
        start, end = 0.0, -1.0
    if not start < end:
        raise AnnotationError(
            path,
            f"{place}, '{names[0]}' and '{names[1]}'",
            given,
            "seconds or HH:MM:SS, the start before the end",
        )
    return start, end
