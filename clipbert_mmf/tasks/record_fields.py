"""Check prediction records: the fields of each, and that a file holds those of every item once.

Records are read back from files that people copy, cut and join, so nothing in them is taken on trust.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clipbert_mmf.scoring.validity import ScoresError, check_items


class PredictionsError(ValueError):
    """Raised for predictions that cannot be used.

    Names the file, the record, what was found and expected.
    """


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Attributes:
        about: name of the kind in messages.
        fits: tells whether a value is of the kind.
    """

    about: str
    fits: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


#: Probabilities are rounded.
_SLACK = 1e-6
ANYTHING = Kind("anything", lambda value: True)
TEXT = Kind("a string", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
NUMBER = Kind("a finite number", _is_number)
SHARE = Kind("a number from 0 to 1", lambda value: _is_number(value) and -_SLACK <= value <= 1 + _SLACK)
WHOLE = Kind("a whole number, at least 0", _is_whole)
TIME = Kind("a number of seconds or null", lambda value: value is None or _is_number(value))
WORD = Kind("a string or a number", lambda value: isinstance(value, str) or _is_number(value))
#: The correct answer, or what each answer scores; null where it is not known.
TARGET = Kind(
    "a string, a number, null, or answers with what each scores from 0 to 1",
    lambda value: (
        value is None
        or WORD.fits(value)
        or (isinstance(value, dict) and all(SHARE.fits(score) for score in value.values()))
    ),
)

#: Shape of a field: a kind, ``[shape]`` for a list, ``{name: shape}`` for an object, or ``{str: shape}`` for an
#: object with any names.
Shape = Any
CLIPS: Shape = [{"start_sec": TIME, "end_sec": TIME, "scores": [NUMBER]}]
#: Fields of every record.
COMMON: Mapping[str, Shape] = {
    "dataset": TEXT,
    "task": TEXT,
    "item": WHOLE,
    "num_items": WHOLE,
    "item_record": WHOLE,
    "num_item_records": WHOLE,
    "media_id": TEXT,
    "readable": FLAG,
}
#: Further fields of every question.
QUESTION: Mapping[str, Shape] = {
    "text_id": TEXT,
    "text": TEXT,
    "answers": [{"answer": WORD}],
    "target": TARGET,
    "correct": SHARE,
    "clips": CLIPS,
}


def find_fault(value: Any, shape: Shape, name: str) -> str:
    """Return what is wrong with a value of a record, empty where nothing is.

    Args:
        value: as read from JSON.
        shape: what it is to be.
        name: of the value, for the message.
    """
    if isinstance(shape, Kind):
        return "" if shape.fits(value) else f"{name} is {_show(value)}; expected {shape.about}"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{name} is {_show(value)}; expected a list"
        parts = ((part, shape[0], f"{name}[{number}]") for number, part in enumerate(value))
    elif not isinstance(value, dict):
        return f"{name or 'the record'} is {_show(value)}; expected an object"
    elif str in shape:
        parts = ((part, shape[str], f"{name}[{key!r}]") for key, part in value.items())
    else:
        missing = [key for key in shape if key not in value]
        if missing:
            return f"{name or 'the record'} lacks {', '.join(map(repr, missing))}"
        parts = ((value[key], inner, f"{name}.{key}" if name else key) for key, inner in shape.items())
    return next(filter(None, (find_fault(*part) for part in parts)), "")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def check_complete(records: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Check that there are all records of a split, each once; their fields are of the right kinds already.

    Args:
        records: each with its place, for messages.

    Raises:
        PredictionsError: if one is missing or occurs twice, or if records tell different numbers of items.
    """
    seen: dict[tuple[int, int], str] = {}
    parts: defaultdict[int, set[int]] = defaultdict(set)
    names: dict[int, str] = {}
    num_items = -1
    for place, record in records:
        item, part = record["item"], record["item_record"]
        num_items = record["num_items"] if num_items < 0 else num_items
        if record["num_items"] != num_items:
            raise PredictionsError(
                f"{place}: num_items is {record['num_items']}, and {num_items} in the first record: the "
                f"records are of different splits"
            )
        if (item, part) in seen:
            raise PredictionsError(
                f"{place}: the same as {seen[item, part]} (record {part} of item {item}, "
                f"'{record['media_id']}'); expected every record once"
            )
        if part >= record["num_item_records"]:
            raise PredictionsError(
                f"{place}: item_record is {part}; expected less than num_item_records, "
                f"{record['num_item_records']}"
            )
        seen[item, part] = place
        parts[item].add(record["num_item_records"])
        names[item] = f"item {item} ('{record['media_id']}')"
    try:
        check_items(list(parts), num_items, lambda item: names.get(item, f"item {item}"))
    except ScoresError as error:
        raise PredictionsError(f"the predictions are not those of a whole split: {error}") from None
    for item, counts in parts.items():
        found = sum((item, part) in seen for part in range(max(counts)))
        if len(counts) > 1 or found != max(counts):
            raise PredictionsError(
                f"{names[item]} has {found} records; expected {max(counts)}: the predictions are not those of a "
                f"whole split"
            )
