"""Parses a user's own table or lines.

A video and a text, or a video, a question and its answer, one per row.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from clipbert_mmf.annotations.records import (
    RECORD_KINDS,
    AnnotationError,
    Entries,
    Source,
    TextRecord,
    WrongTableError,
    read_window,
    refuse_twice,
    require,
    require_text,
    require_texts,
)

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
#: Usual name of a split -> ours.
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "validation", "valid", "validate", "dev", "development", "eval"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
#: Columns that are read as something else.
_OWN_COLUMNS = ("video", "text", "question", "answer", "options", "type", "id", "split")
#: Between options in a table.
OPTION_SEPARATOR = "|"


def parse_texts(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``video, text`` and optionally ``id, split, start_sec, end_sec``; a list of texts is one record each."""
    _require_kind(source, "captions", "line 1")
    for row in _walk(source, entries):
        if isinstance(row.entry.get("text"), list):
            texts = require_texts(row.entry, "text", source.path, row.place)
            if not texts or not all(texts):
                raise AnnotationError(
                    source.path, f"{row.place}, 'text'", list(texts), "at least one text, none empty"
                )
            for number, text in enumerate(texts):
                yield TextRecord(row.media_key, text, f"{row.text_id}#{number}", window_sec=row.window_sec)
            continue
        text = _read_text(row.entry, "text", source, row.place)
        yield TextRecord(row.media_key, text, row.text_id, window_sec=row.window_sec)


def parse_questions(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``video, question, answer`` and optionally ``options, type, id, split, start_sec, end_sec``.

    With options, the answer is one of them or its index.
    """
    has_told = False
    for row in _walk(source, entries):
        question = _read_text(row.entry, "question", source, row.place)
        answer = str(require(row.entry, "answer", (str, int, float), source.path, row.place)).strip()
        if not answer:
            raise AnnotationError(source.path, f"{row.place}, 'answer'", answer, "an answer")
        options = _read_options(row.entry, source, row.place)
        if source.needs == "options" and not options and "options" in row.entry:
            raise AnnotationError(
                source.path, f"{row.place}, 'options'", "none", "at least two options, as in other rows"
            )
        _require_kind(source, "options" if options else "answers", row.place)
        found: str | int = answer
        if options:
            found = _find_option(answer, options, source, row.place)
            if not has_told and any(option.isdigit() for option in options) and answer.isdigit():
                has_told = True
                logger.warning(
                    "%s, %s: the answer %r is read as %s: where options are numbers, an answer that is one of them is "
                    "that option, and any other number is an index from 0",
                    source.path,
                    row.place,
                    answer,
                    "the option of that name"
                    if options[found] == answer
                    else f"an index, of {options[found]!r}",
                )
        elif source.needs == "counts":
            found = _read_count(answer, source, row.place)
        yield TextRecord(
            row.media_key,
            question,
            row.text_id,
            options=options,
            answer=found,
            answer_type=str(row.entry.get("type") or ""),
            window_sec=row.window_sec,
        )


def parse_asked(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield ``video, question`` and optionally ``options, id, split, start_sec, end_sec``; an answer is not read."""
    for row in _walk(source, entries):
        question = _read_text(row.entry, "question", source, row.place)
        options = _read_options(row.entry, source, row.place)
        yield TextRecord(
            row.media_key, question, row.text_id, options=options, answer="", window_sec=row.window_sec
        )


def _require_kind(source: Source, kind: str, place: str) -> None:
    """Raise ``WrongTableError`` where the task reads other records."""
    wanted = "answers" if source.needs == "counts" else source.needs
    if wanted and wanted != kind:
        raise WrongTableError(source.path, place, RECORD_KINDS[kind], RECORD_KINDS[source.needs], holds=kind)


def _read_count(answer: str, source: Source, place: str) -> int:
    match = re.fullmatch(r"([0-9]{1,18})(\.0*)?", answer)
    if not match:
        raise AnnotationError(source.path, f"{place}, 'answer'", answer, "a whole number in digits")
    return int(match.group(1))


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
        given = entry.get("id")
        self.given_id = "" if given is None else str(given).strip()
        self.text_id = self.given_id or str(number)
        self.window_sec = read_window(entry, source.path, place)


def _walk(source: Source, entries: Entries) -> Iterator[_Row]:
    seen: set[str] = set()
    names: dict[str, str] = {}
    wanted = None if source.splits is None else {tell_split(split) for split in source.splits}
    # A configuration with names of its own may leave some splits out.
    is_known = wanted is not None and wanted <= set(SPLITS)
    found = False
    has_id: bool | None = None
    has_split: bool | None = None
    # A value that was checked once needs no second look.
    checked: dict[object, str] = {}
    undivided = _SplitSearch()
    for number, (place, entry) in enumerate(entries):
        row = _Row(source, place, entry, number)
        has_id = bool(row.given_id) if has_id is None else has_id
        if has_id != bool(row.given_id):  # a row's number may be another row's id
            raise AnnotationError(
                source.path, f"{place}, 'id'", row.given_id, "an id in every row, or in none"
            )
        if has_id:
            refuse_twice(seen, row.text_id, "id", source.path, place)
            seen.add(row.text_id)
        raw = str(entry.get("split") or "")
        if not raw:
            undivided.look_at(entry)
        split = checked.get(raw)
        if split is None:
            given = raw.strip()
            has_split = bool(given) if has_split is None else has_split
            split = checked[raw] = tell_split(given) if given else ""
            if (wanted is not None and not given) or (given and not has_split):
                raise AnnotationError(
                    source.path,
                    f"{place}, 'split'",
                    given,
                    "a split in every row (train, val, test), or in none",
                )
            names.setdefault(split, given.lower())
            if is_known and "eval" in (given.lower(), names[split]) and given.lower() != names[split]:
                raise AnnotationError(
                    source.path,
                    f"{place}, 'split'",
                    given,
                    f"one name for '{split}' (the file also has '{names[split]}'); 'eval' may be meant as val or as "
                    f"test",
                )
            if is_known and split not in SPLITS:
                raise AnnotationError(
                    source.path, f"{place}, 'split'", given, f"one of {', '.join(SPLIT_NAMES)}"
                )
        if wanted is None or split in wanted:
            found = True
            yield row
    if has_split is False and (column := undivided.find()):
        raise AnnotationError(
            source.path,
            f"column '{column}'",
            sorted(undivided.columns[column]),
            f"these split names in the column of splits: set {source.columns_key}.split={column}",
        )
    if not found and names:
        raise AnnotationError(source.path, "column 'split'", sorted(names), f"a row of {source.splits}")


class _SplitSearch:
    """Looks for a column of splits that goes by another name, in rows without a split.

    Attributes:
        columns: columns that held nothing but names of splits so far, with these.
    """

    def __init__(self) -> None:
        self.columns: dict[str, set[str]] = {}
        self._has_begun = False

    def look_at(self, entry: dict[str, Any]) -> None:
        """Drop the columns that hold something else in a row."""
        if not self._has_begun:
            self._has_begun = True
            self.columns = {name: set() for name in entry if name not in _OWN_COLUMNS}
        for name in list(self.columns):
            value = entry.get(name)
            if isinstance(value, str) and value.strip().lower() in SPLIT_NAMES:
                self.columns[name].add(value.strip())
            else:
                del self.columns[name]

    def find(self) -> str | None:
        """Return a column with two or more of them."""
        return next((name for name, found in self.columns.items() if len(found) > 1), None)


def tell_split(name: str) -> str:
    """Return ``train``, ``val`` or ``test`` for a usual name of it; another name as it is, in lower case."""
    name = name.strip().lower()
    return SPLIT_NAMES.get(name, name)


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
    if re.fullmatch("[0-9]{1,9}", answer) and int(answer) < len(options):
        # Of equal options, the first is chosen as well.
        return options.index(options[int(answer)])
    raise AnnotationError(source.path, f"{place}, 'answer'", answer, f"one of {list(options)} or its index")
