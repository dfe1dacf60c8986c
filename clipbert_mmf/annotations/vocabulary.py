"""Answer vocabularies: builds one from a training split, writes it, reads it back."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from clipbert_mmf.annotations import AnnotationError
from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.annotations.reading import read_json
from clipbert_mmf.configuration import InRange, parse_config
from clipbert_mmf.writing import naming, replacing


@dataclass(frozen=True)
class AnswersConfig:
    """The answer vocabulary of open-ended questions.

    Attributes:
        file: JSON file {answer: index} or list of answers; null builds the vocabulary from the training
            split.
        num_answers: a built vocabulary keeps so many of the most frequent answers; null keeps all.
        min_count: a built vocabulary leaves out answers that occur less often.
    """

    file: str | None = None
    num_answers: Annotated[int, InRange(at_least=1)] | None = None
    min_count: Annotated[int, InRange(at_least=1)] = 1

    @classmethod
    def from_section(cls, values: Any, where: str) -> AnswersConfig:
        """Parse the section; a plain file name stands for ``{file: name}``."""
        return parse_config(cls, {"file": values} if isinstance(values, str) else values, where)


def count_answers(records: PackedRecords) -> Counter[str]:
    """Count the answers of questions; of VQA's ten answers to a question, the most frequent one counts."""
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
        counts: number of questions for each answer of the training split.
        num_answers: number of answers to keep; None for all.
        min_count: answers that occur less often are left out.

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
        AnnotationError: if it is none of these, or the indices are not 0 to A-1, each once.
    """
    content = read_json(Path(path))
    if isinstance(content, list):
        answers = list(map(str, content))
        twice = [answer for answer, count in Counter(answers).items() if count > 1]
        if twice:
            raise AnnotationError(path, "answers", twice[:5], "each answer once")
        content = {answer: index for index, answer in enumerate(answers)}
    if not isinstance(content, dict) or not content:
        raise AnnotationError(path, "top level", content, "an object {answer: index}")
    # ``true`` and 1.0 are equal to 1 in Python.
    other = [index for index in content.values() if type(index) is not int]
    indices = other or sorted(content.values())
    if other or indices != list(range(len(content))):
        raise AnnotationError(path, "indices", indices[:5], f"0 to {len(content) - 1}, each once")
    return content


def write_vocabulary(path: Path, answers: dict[str, int]) -> None:
    """Write ``{answer: index}``; another process sees the whole file or none."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, path.with_name(f".{path.name}.{os.getpid()}")) as unfinished:
        unfinished.write_text(json.dumps(answers, ensure_ascii=False, indent=0), encoding="utf-8")
