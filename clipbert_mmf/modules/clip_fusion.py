"""Where the K clips of a video meet: after the cross-encoder (the paper's), or before it. Before the cross-encoder."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

#: Name -> from ``(P, K, V, D)`` visual tokens of pairs to ``(P, rows, tokens, D)``: what is encoded with the text at once.
#: ``fold`` scores each clip alone, and scores are folded (paper section 3). ``concat`` (early fusion) puts the clips'
#: tokens one after another and scores a pair once: the text is encoded once in place of K times, attention is K times longer.
CLIP_FUSIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "fold": lambda visual: visual,
    "concat": lambda visual: visual.flatten(1, 2)[:, None],
}
