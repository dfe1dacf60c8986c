"""Rows of all ranks in one tensor, each item once: what every exact metric starts from. After the model, before ranking."""

from __future__ import annotations

import torch
from torch import Tensor


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate a tensor of all ranks along dimension 0, whatever their lengths.

    All ranks must call it, in the same order.

    Args:
        rows: ``(rows of this rank, ...)``; dimensions after the first are equal on all ranks.
    Returns:
        ``(rows of all ranks, ...)`` on the device of ``rows``; ``rows`` itself in a single process.
    """
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return rows
    gathered: list[Tensor | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, rows.cpu())
    return torch.cat(gathered).to(rows.device)


def first_of_each(index: Tensor) -> Tensor:
    """Return the position of the first occurrence of each index, ascending by index.

    A distributed sampler repeats items so that all ranks get equally many; they may not count twice.

    Args:
        index: ``(rows,)`` int64.
    """
    order = torch.argsort(index, stable=True)
    ascending = index[order]
    is_first = torch.ones_like(ascending, dtype=torch.bool)
    is_first[1:] = ascending[1:] != ascending[:-1]
    return order[is_first]


def index_of_texts(item_index: Tensor, num_texts: int) -> Tensor:
    """Number the texts of all items, for tasks whose texts have no numbers of their own.

    Args:
        item_index: ``(B,)`` int64, unique in the split.
        num_texts: N, the same for every item.
    Returns:
        ``(B, N)`` int64, unique in the split.
    """
    return item_index[:, None] * num_texts + torch.arange(num_texts, device=item_index.device)
