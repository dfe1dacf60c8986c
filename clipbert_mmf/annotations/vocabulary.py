"""Answer vocabularies: made from a training split, written, read back. Between ``grouping`` and ``tasks``."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from clipbert_mmf.annotations import AnnotationError
from clipbert_mmf.annotations.grouping import PackedRecords


def count_answers(records: PackedRecords) -> Counter[str]:
    """Count what questions are answered with; of VQA's ten answers the most frequent one counts."""
    counts: Counter[str] = Counter()
    for row in range(len(records)):
        record = records[row]
        if record.soft_answers:
            counts[max(record.soft_answers, key=lambda pair: pair[1])[0]] += 1
        elif record.answer is not None:
            counts[str(record.answer)] += 1
    return counts


def build_vocabulary(
    counts: Counter[str], num_answers: int | None = None, min_count: int = 1
) -> dict[str, int]:
    """Return answer to index, most frequent first, equal counts in alphabetical order.

    Args:
        counts: of the training split.
        num_answers: keep at most so many; None for all.
        min_count: leave out answers that occur less often.

    Raises:
        ValueError: if no answer is left.
    """
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    kept = [answer for answer, count in ordered if count >= min_count][:num_answers]
    if not kept:
        raise ValueError(
            f"no answer occurs {min_count} times or more; the training split has {len(counts)} answers"
        )
    return {answer: index for index, answer in enumerate(kept)}


def read_vocabulary(path: Path) -> dict[str, int]:
    """Read ``{answer: index}``, ClipBERT's ``ans2label.json``, or a list of answers.

    Raises:
        AnnotationError: if it is neither, or the indices are not 0 to A-1, each once.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise AnnotationError(
            path, f"line {error.lineno}", error.doc[error.pos : error.pos + 40], "JSON"
        ) from error
    if isinstance(content, list):
        content = {answer: index for index, answer in enumerate(content)}
    if not isinstance(content, dict) or not content:
        raise AnnotationError(path, "top level", content, "an object {answer: index}")
    indices = (
        sorted(content.values(), key=str)
        if any(not isinstance(i, int) for i in content.values())
        else sorted(content.values())
    )
    if indices != list(range(len(content))):
        raise AnnotationError(path, "indices", indices[:5], f"0 to {len(content) - 1}, each once")
    return {str(answer): index for answer, index in content.items()}


def write_vocabulary(path: Path, answers: dict[str, int]) -> None:
    """Write ``{answer: index}``; another process sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(answers, ensure_ascii=False, indent=0), encoding="utf-8")
    unfinished.replace(path)
