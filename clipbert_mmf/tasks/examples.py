"""Choose the predictions that a report shows: the best and the worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clipbert_mmf.tasks.judging import Records


@dataclass(frozen=True)
class Example:
    """One prediction that a report shows.

    Attributes:
        media_id: key of the video or image.
        text: text that the model read with it.
        answer: answer whose evidence is shown; None for the text's own score.
        title: the question, for people.
        verdict: the outcome, for people.
        is_correct: whether the prediction is correct.
        other_id: key of the medium that was found instead, or empty.
        segment_sec: start and end of the part of the video that was read, as a record has them; None for all of it.
        other_segment_sec: the same of ``other_id``.
        option: option at the end of the text, which stays whole where the text is cut; empty where there are none.
    """

    media_id: str
    text: str
    answer: str | None
    title: str
    verdict: str
    is_correct: bool
    other_id: str = ""
    segment_sec: Sequence[float | None] | None = None
    other_segment_sec: Sequence[float | None] | None = None
    option: str = ""


def choose_question_examples(
    records: Records, count: int, read_evidence: Callable[[dict[str, Any]], tuple[str, str | None]]
) -> list[Example]:
    """Return the surest correct and the surest wrong answers.

    Args:
        records: prediction records of questions.
        count: examples of each.
        read_evidence: from a record to the text that the model read and the answer to explain, or None.
    """
    answered = [record for record in records if record["answers"] and record["readable"]]
    surest = sorted(answered, key=lambda record: -(record["answers"][0].get("probability") or 0.0))
    correct = [record for record in surest if record["correct"] >= 0.5][:count]
    wrong = [record for record in surest if record["correct"] < 0.5][:count]
    return [_describe(record, *read_evidence(record)) for record in correct + wrong]


def _describe(record: dict[str, Any], text: str, answer: str | None) -> Example:
    first, target = record["answers"][0], record["target"]
    chance = f", {first['probability']:.0%} sure" if "probability" in first else ""
    verdict = f"answers '{first['answer']}'{chance}"
    is_correct = record["correct"] >= 0.5
    if not is_correct:
        shown = ", ".join(f"{a} ({s:.2g})" for a, s in target.items()) if isinstance(target, dict) else target
        verdict += f"; correct is: {shown}"
    title = record["text"] or "which text fits?"
    segment_sec = record.get("segment_sec")
    return Example(
        record["media_id"],
        text.strip(),
        answer,
        title,
        verdict,
        is_correct,
        segment_sec=segment_sec,
        option=first["answer"] if record.get("options") else "",
    )
