"""Compute the results that need no video, to compare every result with."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np


def guess_recall(num_candidates: int, depth: int, num_correct: int = 1) -> float:
    """Return the recall at a depth of a random order, where some of the candidates are correct."""
    missed = 1.0
    for place in range(min(depth, num_candidates)):
        missed *= max(0, num_candidates - num_correct - place) / (num_candidates - place)
    return 1 - missed


def guess_first_rank(num_candidates: int, num_correct: int = 1) -> float:
    """Return the mean rank of the first correct candidate in a random order."""
    return (num_candidates + 1) / (num_correct + 1)


def guess_option(num_options: Sequence[int]) -> float:
    """Return the accuracy of a random option, from the number of options of each question."""
    return sum(1 / count for count in num_options) / len(num_options)


def guess_answer(answers: Sequence[Hashable]) -> float:
    """Return the accuracy of always giving the most frequent answer, which is more than that of a random guess."""
    return Counter(answers).most_common(1)[0][1] / len(answers)


def guess_soft_answer(answers: Sequence[Mapping[str, float] | Iterable[tuple[str, float]]]) -> float:
    """Return the VQA accuracy of always giving the answer that scores best; 0 where nothing scores."""
    totals: defaultdict[str, float] = defaultdict(float)
    for scores in answers:
        for answer, score in dict(scores).items():
            totals[answer] += score
    return max(totals.values(), default=0.0) / len(answers)


def guess_count(counts: Sequence[float]) -> float:
    """Return the mean squared error of always giving the mean."""
    return float(np.var([float(count) for count in counts]))
