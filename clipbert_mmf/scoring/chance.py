"""Compute results that need no video; a model is compared with these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np


def guess_rank(num_items: int) -> float:
    """Return R@1 of a random order."""
    return 1 / num_items


def guess_option(num_options: Sequence[int]) -> float:
    """Return the accuracy of a random option, from the number of options of each question."""
    return sum(1 / count for count in num_options) / len(num_options)


def guess_answer(answers: Sequence[Hashable]) -> float:
    """Return the accuracy of the one answer that is right most often, whatever is asked: more than a random guess."""
    return Counter(answers).most_common(1)[0][1] / len(answers)


def guess_soft_answer(answers: Sequence[Mapping[str, float] | Iterable[tuple[str, float]]]) -> float:
    """Return the VQA accuracy of the one answer that scores best, whatever is asked; 0 where nothing scores."""
    totals: Counter[str] = Counter()
    for scores in answers:
        totals.update(dict(scores))
    return totals.most_common(1)[0][1] / len(answers) if totals else 0.0


def guess_count(counts: Sequence[float]) -> float:
    """Return the mean squared error of always giving the mean."""
    return float(np.var([float(count) for count in counts]))
