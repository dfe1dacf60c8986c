"""What every parser yields, and the error every parser raises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TextRecord:
    """One text about one medium.

    Attributes:
        media_key: key in the store, the file's stem.
        text: caption or question, white space normalised.
        text_id: the owner's id.
        options: of a multiple-choice question.
        answer: a string, the 0-based index of the right option, or a count; None where there is none.
        answer_type: the owner's or the question's class.
        soft_answers: answers with their scores, 0 to 1.
        all_answers: what each annotator said.
        window_sec: part of the video the text is about.
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


class AnnotationError(ValueError):
    """A malformed annotation file: names the file, the place, what was found and what is expected."""

    def __init__(self, path: str | Path, place: str, found: object, expected: str):
        shown = repr(found)
        super().__init__(
            f"{path}, {place}: found {shown if len(shown) <= 120 else shown[:117] + '...'}; expected {expected}"
        )


def require(entry: object, key: str, kinds: type | tuple[type, ...], path, place: str):
    """Return ``entry[key]``, or raise ``AnnotationError`` where it is missing or of another kind."""
    if not isinstance(entry, dict):
        raise AnnotationError(path, place, entry, f"an object with '{key}'")
    if key not in entry:
        raise AnnotationError(path, place, sorted(entry), f"a key '{key}'")
    value = entry[key]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in (kinds if isinstance(kinds, tuple) else (kinds,))):
        names = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise AnnotationError(path, f"{place}, '{key}'", value, f"a value of type {names}")
    return value
