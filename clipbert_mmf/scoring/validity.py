"""Refuse scores that cannot be ranked, folded, measured or written: not finite, too few, or of an item twice.

Every comparison with NaN is false, so a model that gives NaN would rank first everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class ScoresError(ValueError):
    """Raised for scores that no result may follow from; names the first item."""


def check_scores(
    scores: Tensor, num_rows: int, name: Callable[[int], str], counted: Tensor | None = None
) -> Tensor:
    """Return scores, or embeddings, if there are as many rows as expected and all values are finite.

    Args:
        scores: ``(rows, ...)``.
        num_rows: number of rows that was asked for.
        name: returns the name of a row, such as "item 3 ('red/4')".
        counted: ``(rows,)`` bool, rows that are looked at; None for all. Those of an unreadable medium are
            never used.

    Raises:
        ScoresError: otherwise.
    """
    if len(scores) != num_rows:
        raise ScoresError(f"the model gives {len(scores)} rows of scores; expected {num_rows}")
    finite = scores.isfinite().reshape(num_rows, -1)
    if counted is not None:
        finite = finite | ~counted.to(finite.device).bool()[:, None]
    if not finite.all():
        row = int(torch.nonzero(~finite.all(1))[0])
        value = float(scores.reshape(num_rows, -1)[row][~finite[row]][0])
        raise ScoresError(
            f"the model gives {value} for {name(row)}; expected finite scores. Its weights are damaged, it "
            f"diverged in training, or half precision is too narrow for it (try fp32)"
        )
    return scores


def check_items(items: Iterable[int], num_items: int, name: Callable[[int], str]) -> None:
    """Check that each of ``num_items`` items, numbered from 0, is there once.

    Args:
        items: numbers of the items, in any order.
        num_items: number of items of the split.
        name: returns the name of an item.

    Raises:
        ScoresError: if one is missing, occurs twice, or does not belong to the split.
    """
    count = Counter(items)
    wrong = next((item for item in sorted(count) if not 0 <= item < num_items), None)
    if wrong is not None:
        raise ScoresError(f"there are scores of item {wrong}; the split has {num_items} items, from 0")
    twice = next((item for item in sorted(count) if count[item] > 1), None)
    if twice is not None:
        raise ScoresError(f"{name(twice)} has scores {count[twice]} times; expected once")
    if len(count) < num_items:
        missing = next(item for item in range(num_items) if item not in count)
        raise ScoresError(
            f"{name(missing)} has no scores, nor have {num_items - len(count) - 1} others; expected scores of "
            f"{num_items} items"
        )
