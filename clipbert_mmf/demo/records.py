"""What travels from a question to the page: plain records, which the templates read."""

from __future__ import annotations

from dataclasses import dataclass

from clipbert_mmf.demo.pictures import Explained
from clipbert_mmf.demo.shelf import ShownVideo


@dataclass(frozen=True)
class Field:
    """An input of a form.

    Attributes:
        name: in the request.
        label: for people.
        has_lines: whether each line is an entry.
        is_required: whether it must be filled.
        hint: below it.
    """

    name: str
    label: str
    has_lines: bool = False
    is_required: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Row:
    """A text, option or answer and how it did.

    Attributes:
        label: for people.
        probability: 0 to 1, or None for a count.
        text, answer: what to explain to say why.
    """

    label: str
    probability: float | None
    text: str
    answer: str | None = None


@dataclass(frozen=True)
class FoundVideo:
    """A video that a search found.

    Attributes:
        video: which.
        rank: from 1.
        probability: of a match.
        span_sec: of the clip that fits best, or None.
        picture: data URL of its frame; empty if it cannot be read any more.
    """

    video: ShownVideo
    rank: int
    probability: float
    span_sec: tuple[float, float] | None
    picture: str


@dataclass(frozen=True)
class Told:
    """What became of a question.

    Attributes:
        headline: the answer.
        about: what was asked.
        note: how to read the rows.
        video: that was asked about; None for a search.
        rows: best first.
        explained: why, for the first row; None where nothing can be explained, and ``missing`` says why.
        found: of a search.
        missing: what could not be shown.
    """

    headline: str
    about: str
    note: str
    video: ShownVideo | None = None
    rows: tuple[Row, ...] = ()
    explained: Explained | None = None
    found: tuple[FoundVideo, ...] = ()
    missing: str = ""
