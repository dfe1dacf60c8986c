"""Draw curves as inline SVG and frames as small JPEGs, which travel inside a page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

#: Longer side of a thumbnail; twice of it would be sharper on a phone and take four times the bytes.
THUMBNAIL_PX = 150


def draw_curves(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], y_label: str) -> str:
    """Return an SVG of values against updates; it takes its colours from the page.

    Args:
        curves: name to (updates, values).
        y_label: label of the vertical axis.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    with pyplot.rc_context({"svg.fonttype": "none", "font.size": 10, "svg.hashsalt": "report"}):
        figure, axes = pyplot.subplots(figsize=(6.0, 2.8), layout="constrained")
        for name, (updates, values) in curves.items():
            axes.plot(
                updates,
                values,
                label=name,
                linewidth=1.8,
                marker="o" if len(updates) < 12 else None,
                markersize=4,
            )
        axes.set_xlabel("updates")
        axes.set_ylabel(y_label)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        if len(curves) > 1:
            axes.legend(frameon=False)
        for spine in ("top", "right"):
            axes.spines[spine].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        pyplot.close(figure)
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Text and axes take the page's colour, so that they are seen on dark and on light; what names
    # no colour would be black.
    svg = svg.replace("#000000", "currentColor").replace("stroke: #000", "stroke: currentColor")
    return svg.replace("<svg", '<svg fill="currentColor"', 1)


def encode_jpeg(pixels: np.ndarray) -> str:
    """Return ``(H, W, 3)`` uint8 RGB as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def crop_padding(frame: Tensor) -> tuple[int, int]:
    """Return height and width of ``(3, L, L)`` without the black padding at its right and bottom."""
    seen = frame.amax(0) > 8
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    if not len(rows):
        return frame.shape[1], frame.shape[2]
    return int(rows.max()) + 1, int(columns.max()) + 1


def make_thumbnail(
    frame: Tensor,
    saliency: Tensor | None = None,
    longest_px: int = THUMBNAIL_PX,
    size: tuple[int, int] | None = None,
) -> str:
    """Return a frame without its padding as a data URL, with saliency over it where it is given.

    Args:
        frame: ``(3, L, L)`` uint8 RGB.
        saliency: ``(h, w)`` float, 0 to 1.
        longest_px: longer side of the picture, pixels.
        size: height and width without padding, where it is known better than from this frame, which may be
            dark.
    """
    height, width = size or crop_padding(frame)
    picture = frame.float()
    if saliency is not None:
        strength = F.interpolate(
            saliency[None, None].float(), size=frame.shape[1:], mode="bilinear", align_corners=False
        )[0]
        # Yellow to red over a greyed picture; hue and brightness both tell, for those who do not see the hue.
        grey = picture.mean(0, keepdim=True).expand(3, -1, -1)
        warm = torch.stack(
            [torch.full_like(strength[0], 255.0), 230 * (1 - strength[0]), 40 * (1 - strength[0])]
        )
        share = 0.75 * strength.sqrt()
        picture = (1 - share) * (0.5 * grey + 0.5 * picture) + share * warm
    picture = picture[:, :height, :width]
    scale = longest_px / max(height, width)
    scaled = (max(1, round(height * scale)), max(1, round(width * scale)))
    picture = F.interpolate(picture[None], size=scaled, mode="bilinear", align_corners=False, antialias=True)[
        0
    ]
    return encode_jpeg(picture.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


class ShownWord(NamedTuple):
    """A word of a text.

    Attributes:
        word: the whole word.
        weight: what it adds to the score, in logits.
        share: the same against the strongest word, -1 to 1; where all add less than a logit, against one logit.
    """

    word: str
    weight: float
    share: float


def scale_bars(scores: Sequence[float]) -> list[float]:
    """Return the length of each bar from the zero line, -100 to 100.

    The scale begins at zero and reaches at least one logit, so that scores that hardly differ look alike and
    small ones look small.

    Args:
        scores: in logits.
    """
    longest = max([1.0, *map(abs, scores)])
    return [100 * score / longest for score in scores]


#: Marks of a new word in byte-level BPE and in SentencePiece.
_BEGINNINGS = ("\u0120", "\u2581")
_NO_WORDS = ("[CLS]", "[SEP]", "[PAD]", "<s>", "</s>", "<pad>")


def join_word_pieces(pieces: Sequence[tuple[str, float]]) -> list[ShownWord]:
    """Return whole words with what they add to the score, from word pieces with their weights in logits."""
    joined: list[tuple[str, float]] = []
    # WordPiece marks what goes on with a word; the tokenizers of RoBERTa and XLM-R mark its beginning.
    marks_beginnings = any(piece.startswith(_BEGINNINGS) for piece, _ in pieces)
    for piece, weight in pieces:
        if piece in _NO_WORDS:
            continue
        goes_on = not piece.startswith(_BEGINNINGS) if marks_beginnings else piece.startswith("##")
        shown = piece.lstrip("".join(_BEGINNINGS)) if marks_beginnings else piece.removeprefix("##")
        if goes_on and joined:
            word, total = joined.pop()
            joined.append((word + shown, total + weight))
        else:
            joined.append((shown if marks_beginnings else piece, weight))
    shares = scale_bars([weight for _, weight in joined])
    return [ShownWord(*pair, share / 100) for pair, share in zip(joined, shares, strict=True)]
