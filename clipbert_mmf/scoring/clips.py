"""Fold the scores of a video's clips into one row (paper section 3, equations 4 to 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clipbert_mmf.tables import add_to_table

#: Name -> fold over dimension 1.
FOLDS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda clip_logits: clip_logits.mean(1),
    "max": lambda clip_logits: clip_logits.amax(1),
    "lse": lambda clip_logits: torch.logsumexp(clip_logits, 1),
    # For counts: each clip adds its own.
    "sum": lambda clip_logits: clip_logits.sum(1),
}


def register_fold(name: str, fold: Callable[[Tensor], Tensor]) -> None:
    """Register a fold, so that ``model_config.clipbert.fold: <name>`` is possible.

    Args:
        name: value of the configuration key.
        fold: maps ``(P, K, A)`` logits to ``(P, A)``.

    Raises:
        ValueError: if another fold has the name.
    """
    add_to_table(FOLDS, "a fold", name, fold)


def fold_clips(clip_logits: Tensor, how: str) -> Tensor:
    """Fold the scores of a video's K clips into one score row per pair.

    ``lse`` is a soft maximum: one confident clip can outvote the others. The cross-entropy of its result is
    the paper's multi-clip loss (eq. 6), so training and inference share this function.

    Args:
        clip_logits: ``(P, K, A)`` float, before any softmax.
        how: a key of ``FOLDS``.

    Returns:
        ``(P, A)``, same dtype and device.

    Raises:
        ValueError: if ``clip_logits`` is not 3-D or ``how`` is unknown.
    """
    if clip_logits.dim() != 3:
        raise ValueError(
            f"clip_logits have shape {tuple(clip_logits.shape)}; expected (pairs, clips, answers)"
        )
    if how not in FOLDS:
        raise ValueError(f"fold is '{how}'; allowed are {sorted(FOLDS)}")
    return FOLDS[how](clip_logits)


def match_times(times_sec: Sequence[Sequence[float]], num_rows: int) -> list[tuple[float, float]]:
    """Return the start and end, in seconds, of the span that each row of clip scores is about.

    Args:
        times_sec: start and end of each clip, in order; may be empty.
        num_rows: the number of clips, or 1 where clips were read together and the row is about all of them.
    """
    times = [(float(start), float(end)) for start, end in times_sec]
    if num_rows == 1 and len(times) > 1:
        return [(min(start for start, _ in times), max(end for _, end in times))]
    return times
