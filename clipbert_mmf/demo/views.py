"""Plain records that the page's templates read: the fields of a form, and the answer to a question."""

from __future__ import annotations

from dataclasses import dataclass

from clipbert_mmf.demo.evidence_view import EvidenceView
from clipbert_mmf.demo.video_library import LibraryVideo


@dataclass(frozen=True)
class Field:
    """An input of a form.

    Attributes:
        name: name in the request.
        label: label on the page.
        has_lines: whether each line is an entry.
        is_required: whether it must be filled.
        hint: text below it.
    """

    name: str
    label: str
    has_lines: bool = False
    is_required: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Row:
    """A text, option or answer with its probability.

    Attributes:
        label: label on the page.
        probability: 0 to 1, or None for a count.
        text: text to explain.
        answer: answer to explain, or None for the text's own score.
    """

    label: str
    probability: float | None
    text: str
    answer: str | None = None


@dataclass(frozen=True)
class FoundVideo:
    """A video that a search found.

    Attributes:
        video: the video.
        rank: place among the hits, from 1.
        probability: probability that it matches the text, 0 to 1.
        span_sec: start and end of the clip that fits best, or None.
        picture: URL of a frame of that clip; empty if it cannot be read any more.
    """

    video: LibraryVideo
    rank: int
    probability: float
    span_sec: tuple[float, float] | None
    picture: str


@dataclass(frozen=True)
class AnswerView:
    """The answer to a question.

    Attributes:
        headline: the answer in short.
        about: the question.
        note: how to read the rows.
        video: the video that was asked about; None for a search.
        rows: candidates, best first.
        evidence: evidence for the first row; None where nothing can be explained, and ``missing`` says why.
        found: videos that a search found.
        missing: sentence on what could not be shown.
        next_page: number of the next page of found videos; 0 for none.
    """

    headline: str
    about: str
    note: str
    video: LibraryVideo | None = None
    rows: tuple[Row, ...] = ()
    evidence: EvidenceView | None = None
    found: tuple[FoundVideo, ...] = ()
    missing: str = ""
    next_page: int = 0
