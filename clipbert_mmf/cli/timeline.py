"""Draws the clips of a video as a line of text: how well each fits, on a scale that is the same for every video."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from clipbert_mmf.inference.asking import ClipScore

_BLOCKS = "▁▂▃▄▅▆▇█"
#: In place of the blocks where a terminal cannot show them: tenths.
_DIGITS = "0123456789"
LEGEND = "each sign is a clip; its height says how well the clip alone fits, from 0 to 100 %, not calibrated"


def draw_timeline(clips: Sequence[ClipScore], column: int = 0, encoding: str | None = None) -> str:
    """Return one sign for each clip between the times of the first and the last.

    Args:
        clips: in the order of time, with match scores in logits.
        column: which of the clips' scores.
        encoding: of the terminal; None asks stdout.
    """
    signs = _BLOCKS if _can_show(_BLOCKS, encoding or sys.stdout.encoding) else _DIGITS
    fits = [1 / (1 + math.exp(-max(-50.0, min(50.0, clip.scores[column])))) for clip in clips]
    line = "".join(signs[min(len(signs) - 1, int(fit * len(signs)))] for fit in fits)
    start, end = clips[0].start_sec, clips[-1].end_sec
    return f"|{line}|" if start is None or end is None else f"{start:.1f} s |{line}| {end:.1f} s"


def _can_show(signs: str, encoding: str | None) -> bool:
    try:
        signs.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
