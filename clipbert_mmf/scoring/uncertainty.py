"""Intervals of numbers and paired tests of two models, by resampling media.

Texts about one video fail together, so a video is drawn with all its texts. All draws come from one seed:
the same outcomes give the same interval, on any number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from clipbert_mmf.scoring.outcomes import Outcomes

#: Share of the samples that an interval holds.
LEVEL = 0.95
#: Resamples of an interval, and permutations of a test.
NUM_RESAMPLES = 2000
_SEED = 20210208
#: Draws at once: what bounds memory.
_DRAWS_AT_ONCE = 2_000_000
#: Up to so many media, a test goes through all permutations.
_MAX_EXACT = 11
#: Quantile of the normal distribution for ``LEVEL``.
_Z = 1.959964


class PairingError(ValueError):
    """Raised where two results are not of the same items."""


@dataclass(frozen=True)
class Interval:
    """An interval at ``LEVEL``.

    Attributes:
        low: lower end.
        high: upper end.
        num_media: media that were resampled.
    """

    low: float
    high: float
    num_media: int


@dataclass(frozen=True)
class Difference:
    """The difference of a number between two models on the same items.

    Attributes:
        value: the first model's number minus the second's.
        interval: of the difference.
        p_value: share of the exchanges of the two models' results, medium by medium, whose difference is as
            large.
    """

    value: float
    interval: Interval
    p_value: float

    @property
    def is_significant(self) -> bool:
        """Whether the difference is more than chance at ``LEVEL``."""
        return self.p_value < 1 - LEVEL


class _Rows:
    """The outcomes of a number, by place of their medium in a list of all media."""

    def __init__(self, outcomes: Outcomes, media: np.ndarray):
        self.place = np.searchsorted(media, outcomes.media)
        weights = np.ones(len(outcomes.values)) if outcomes.weights is None else outcomes.weights
        if outcomes.statistic == "median":
            order = np.argsort(outcomes.values, kind="stable")
            self.ascending, self.place = outcomes.values[order], self.place[order]
        self.is_median = outcomes.statistic == "median"
        self.weights = np.bincount(self.place, weights, len(media))
        if not self.is_median:
            self.sums = np.bincount(self.place, weights * outcomes.values, len(media))

    def resample(self, counts: np.ndarray) -> np.ndarray:
        """Return the number of each resample; not a number where none of its rows was drawn.

        Args:
            counts: ``(resamples, media)``, how often each medium was drawn.
        """
        if not self.is_median:
            with np.errstate(invalid="ignore", divide="ignore"):
                return (counts @ self.sums) / (counts @ self.weights)
        drawn = np.cumsum(counts[:, self.place], axis=1)
        total = drawn[:, -1:]
        middle = [(drawn <= half).sum(1) for half in ((total - 1) // 2, total // 2)]
        low, high = (self.ascending[np.minimum(place, len(self.ascending) - 1)] for place in middle)
        return np.where(total[:, 0] > 0, (low + high) / 2, np.nan)


def _draw(num_media: int) -> Iterator[np.ndarray]:
    """Yield ``(resamples, media)`` counts, a part of all resamples at a time."""
    random: Any = np.random.default_rng(_SEED)
    at_once = max(1, min(NUM_RESAMPLES, _DRAWS_AT_ONCE // num_media))
    for start in range(0, NUM_RESAMPLES, at_once):
        size = min(at_once, NUM_RESAMPLES - start)
        drawn = random.integers(0, num_media, (size, num_media))
        drawn += np.arange(size)[:, None] * num_media
        counts: Any = np.bincount(drawn.ravel(), minlength=size * num_media)
        yield counts.reshape(size, num_media).astype(float)


def _take_quantiles(samples: np.ndarray) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def estimate_intervals(outcomes: Mapping[str, Outcomes]) -> dict[str, Interval]:
    """Return the bootstrap interval of each number, over media.

    A share of 0 or 1 has Wilson's interval over media: resamples of equal outcomes have no width. A number
    that comes from fewer than two media has no interval.

    Args:
        outcomes: by name; those of one split, so that all numbers are of the same resamples.
    """
    wanted = {
        name: rows for name, rows in outcomes.items() if len(np.unique(rows.media)) > 1 and _counts(rows)
    }
    if not wanted:
        return {}
    media = np.unique(np.concatenate([rows.media for rows in wanted.values()]))
    rows = {name: _Rows(one, media) for name, one in wanted.items()}
    samples: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    for counts in _draw(len(media)):
        for name, one in rows.items():
            samples[name].append(one.resample(counts))
    found: dict[str, Interval] = {}
    for name, one in wanted.items():
        num_media = int((rows[name].weights > 0).sum())
        if one.is_share and one.value in (0.0, 1.0):
            width = _Z**2 / (num_media + _Z**2)
            ends = (1 - width, 1.0) if one.value else (0.0, width)
        else:
            ends = _take_quantiles(np.concatenate(samples[name]))
        found[name] = Interval(*ends, num_media)
    return found


def _counts(outcomes: Outcomes) -> bool:
    return outcomes.weights is None or bool(outcomes.weights.sum())


def compare_paired(ours: Sequence[Outcomes], theirs: Sequence[Outcomes]) -> Difference:
    """Return the difference of a number between two models, by a paired bootstrap and a permutation test.

    Args:
        ours: of the first model, one for each seed.
        theirs: of the second model on the same items, one for each seed.

    Raises:
        PairingError: if the items are not the same.
    """
    if len(ours) != len(theirs):
        raise PairingError(f"{len(ours)} results beside {len(theirs)}; expected as many, one for each seed")
    first, media = ours[0], np.unique(ours[0].media)
    for one in (*ours, *theirs):
        _require_same_items(first, one)
    if len(media) < 2:
        raise PairingError("a test needs at least two media")
    left, right = ([_Rows(one, media) for one in side] for side in (ours, theirs))
    samples = np.concatenate(
        [_average(left, counts) - _average(right, counts) for counts in _draw(len(media))]
    )
    value = fmean(one.value for one in ours) - fmean(one.value for one in theirs)
    interval = Interval(*_take_quantiles(samples), len(media))
    return Difference(value, interval, _permute(ours, theirs, media, value))


def _average(side: Sequence[_Rows], counts: np.ndarray) -> np.ndarray:
    return np.mean([rows.resample(counts) for rows in side], axis=0)


def _require_same_items(first: Outcomes, other: Outcomes) -> None:
    mine, my_counts = np.unique(first.media, return_counts=True)
    its, its_counts = np.unique(other.media, return_counts=True)
    if not np.array_equal(mine, its):
        differ = np.setxor1d(mine, its)
        raise PairingError(
            f"the results are not of the same media: {len(mine)} and {len(its)}, and '{differ[0]}' is in one alone"
        )
    if not np.array_equal(my_counts, its_counts):
        place = int(np.flatnonzero(my_counts != its_counts)[0])
        raise PairingError(
            f"the results are not of the same texts: '{mine[place]}' has {my_counts[place]} and {its_counts[place]}"
        )


def _permute(ours: Sequence[Outcomes], theirs: Sequence[Outcomes], media: np.ndarray, value: float) -> float:
    """Return the p-value: the two models' results of a medium change places at random."""
    is_exact = len(media) <= _MAX_EXACT
    numbers: Any = np.arange(2 ** len(media) if is_exact else 0)[:, None]
    random: Any = np.random.default_rng(_SEED + 1)
    swaps: Any = (numbers >> np.arange(len(media))) & 1
    if not is_exact:
        swaps = random.integers(0, 2, (NUM_RESAMPLES, len(media)))
    num_media = len(media)
    # The rows of both models one after the other; a swap moves a medium's rows to the other side.
    found: list[np.ndarray] = []
    at_once = max(1, _DRAWS_AT_ONCE // max(num_media, len(ours[0].values)))
    stacked = [_stack(one, other, media) for one, other in zip(ours, theirs, strict=True)]
    for start in range(0, len(swaps), at_once):
        part = swaps[start : start + at_once]
        counts = np.concatenate([1 - part, part], axis=1).astype(float)
        found.append(np.mean([one.resample(counts) - one.resample(1 - counts) for one in stacked], axis=0))
    # Rounding must not make the exchange of nothing smaller than itself.
    num_as_large = int((np.abs(np.concatenate(found)) >= abs(value) - 1e-12).sum())
    return num_as_large / len(swaps) if is_exact else (1 + num_as_large) / (1 + len(swaps))


def _stack(one: Outcomes, other: Outcomes, media: np.ndarray) -> _Rows:
    """Return the rows of two models as those of ``2 * media`` media, the second model's behind the first's."""
    places = [
        np.searchsorted(media, side.media) + number * len(media) for number, side in enumerate((one, other))
    ]
    weights = None
    if one.weights is not None and other.weights is not None:
        weights = np.concatenate([one.weights, other.weights])
    both = Outcomes(
        np.concatenate([one.values, other.values]), np.concatenate(places), weights, one.statistic
    )
    return _Rows(both, np.arange(2 * len(media)))
