"""Gather rows of all ranks in one tensor, and find each item once: every exact metric starts from these."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# As Any: the types of the collectives are unknown to a checker.
_dist: Any = torch.distributed
_rows_are_gathered: ContextVar[bool] = ContextVar("rows_are_gathered", default=False)


@contextmanager
def as_gathered() -> Generator[None]:
    """Let ``gather_rows`` return what it is given.

    The caller has brought the rows of all ranks to every rank.

    An evaluation that has gathered its report computes the metrics inside, so that nothing is gathered twice.
    """
    token = _rows_are_gathered.set(True)
    try:
        yield
    finally:
        _rows_are_gathered.reset(token)


def is_distributed() -> bool:
    """Tell whether other ranks have rows that this one lacks."""
    initialized = _dist.is_available() and _dist.is_initialized()
    return not _rows_are_gathered.get() and initialized and _dist.get_world_size() > 1


@dataclass(frozen=True)
class BatchShare:
    """This rank's part of the batch that all ranks train on.

    Attributes:
        num_local: items of this rank; 0 where it reads one that does not count.
        num_global: items of all ranks.
    """

    num_local: int
    num_global: int


#: A plain name, not a context variable: a backward pass on a GPU runs in a thread of its own.
_share: BatchShare | None = None


@contextmanager
def sharing_batch(num_local: int, num_global: int) -> Generator[None]:
    """Tell how many items of a batch this rank has, while it trains on them.

    Means over anything but items (words, pixels) are then those of the whole batch.
    """
    global _share
    _share = BatchShare(num_local, num_global)
    try:
        yield
    finally:
        _share = None


def counts_here() -> bool:
    """Tell whether the items of this rank count; a rank without one of its own reads another's."""
    return _share is None or _share.num_local > 0


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum over all ranks, without a gradient; the same tensor is changed. All ranks must call it."""
    if is_distributed():
        _dist.all_reduce(values)
    return values


def average_over_ranks(total: Tensor, count: Tensor) -> Tensor:
    """Return a share of a mean over all ranks: weighted by items, the shares add up to it.

    Args:
        total: sum over this rank, with a gradient.
        count: number of what was summed, which differs between ranks.
    """
    if _share is None or not is_distributed():
        return total / count.clamp(min=1)
    whole = sum_over_ranks(count.detach().float() * counts_here())
    return total * (_share.num_global / max(1, _share.num_local)) / whole.clamp(min=1)


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate a tensor of all ranks along dimension 0; their lengths may differ.

    All ranks must call it, in the same order.

    Args:
        rows: ``(rows of this rank, ...)``; dimensions after the first are equal on all ranks.

    Returns:
        ``(rows of all ranks, ...)`` on the device of ``rows``; ``rows`` itself in a single process.
    """
    if not is_distributed():
        return rows
    gathered: list[Tensor] = [rows] * _dist.get_world_size()
    _dist.all_gather_object(gathered, rows.cpu())
    return torch.cat(gathered).to(rows.device)


class _GatherWithGradient(torch.autograd.Function):
    """Rows of all ranks; the gradient of a row is the sum of its gradients in the losses of all ranks.

    ``torch.distributed.nn.all_gather`` is deprecated, and wants equal lengths.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        own = torch.tensor([len(rows)], device=rows.device)
        counts = [torch.zeros_like(own) for _ in range(_dist.get_world_size())]
        _dist.all_gather(counts, own)
        ctx.counts = [int(count) for count in counts]
        # Collectives want equal shapes.
        padded = rows.new_zeros(max(ctx.counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        gathered = [torch.empty_like(padded) for _ in ctx.counts]
        _dist.all_gather(gathered, padded)
        return torch.cat([part[:count] for part, count in zip(gathered, ctx.counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        gradient = grad_outputs[0].contiguous()
        _dist.all_reduce(gradient)
        start = sum(ctx.counts[: _dist.get_rank()])
        return gradient[start : start + ctx.counts[_dist.get_rank()]]


_gather: Any = _GatherWithGradient


def gather_with_gradient(rows: Tensor) -> Tensor:
    """Gather as ``gather_rows`` does; gradients go back to the rank that owns the row.

    All ranks must call it, and all must compute the gradient.
    """
    if not is_distributed():
        return rows
    return _gather.apply(rows)


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
