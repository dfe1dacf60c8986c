"""Rows of all ranks in one tensor, each item once: what every exact metric starts from. After the model, before ranking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    if not is_distributed():
        return rows
    gathered: list[Tensor | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, rows.cpu())
    return torch.cat(gathered).to(rows.device)


class _GatherWithGradient(torch.autograd.Function):
    """Rows of all ranks; a row's gradient is the sum of what all ranks' losses want of it."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        distributed = torch.distributed
        counts = [
            torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(distributed.get_world_size())
        ]
        distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
        ctx.counts = [int(count) for count in counts]
        # Collectives want equal shapes.
        padded = rows.new_zeros(max(ctx.counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(gathered, padded)
        return torch.cat([part[:count] for part, count in zip(gathered, ctx.counts)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        torch.distributed.all_reduce(gradient)
        start = sum(ctx.counts[: torch.distributed.get_rank()])
        return gradient[start : start + ctx.counts[torch.distributed.get_rank()]]


def gather_with_gradient(rows: Tensor) -> Tensor:
    """As ``gather_rows``, and gradients find their way back to the rank whose row it is.

    All ranks must call it, and all must compute the gradient.
    """
    if not is_distributed():
        return rows
    return _GatherWithGradient.apply(rows)


_is_gathered = False


@contextmanager
def as_gathered() -> Iterator[None]:
    """Inside it every rank holds the rows of all ranks already, and ``gather_rows`` returns what it is given."""
    global _is_gathered
    before, _is_gathered = _is_gathered, True
    try:
        yield
    finally:
        _is_gathered = before


def is_distributed() -> bool:
    """Tell whether there are other ranks with rows of their own."""
    distributed = torch.distributed
    return (
        not _is_gathered
        and distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


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
