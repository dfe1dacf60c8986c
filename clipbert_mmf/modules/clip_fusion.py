"""The table of clip fusions: where the K clips of a video meet, after the cross-encoder (the paper's) or before it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

#: Name -> function from visual tokens of pairs ``(P, K, V, D)`` to ``(P, rows, tokens, D)``; the
#: cross-encoder reads each row with the text. ``fold`` scores each clip alone, and scores are folded (paper
#: section 3). ``concat`` (early fusion) joins the clips' tokens and scores a pair once: the text is encoded
#: once instead of K times, attention is K times longer.
CLIP_FUSIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "fold": lambda visual: visual,
    "concat": lambda visual: visual.flatten(1, 2)[:, None],
}
