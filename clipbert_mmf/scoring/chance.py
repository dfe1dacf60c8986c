"""Compute the results that need no video, to compare every result with."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np


def guess_rank(num_items: int) -> float:
    """Return R@1 of a random order."""
    return 1 / num_items


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
