"""Changes training frames at random: crop, mirror image, brightness, contrast and saturation.

All frames of a medium change alike. The paper has none of it; small corpora need it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.transforms.frames import fit_inside, pad_channels_last, stretch

#: Narrowest and widest crop, relative to the frame's own shape.
_STRETCH = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Change:
    """One drawn change.

    Attributes:
        crop: top, left, height and width of the crop as shares of the frame.
        is_mirrored: whether left and right change places.
        brightness: factor of all grey levels.
        contrast: factor of the distance from middle grey.
        saturation: factor of the distance from the pixel's own grey.
    """

    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    is_mirrored: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0


def draw_change(rng: np.random.Generator, crop_area: float, mirror: float, color_jitter: float) -> Change:
    """Draw a change.

    Args:
        rng: draws it.
        crop_area: smallest share of the frame's area that a crop keeps; 1 keeps all.
        mirror: probability of a mirror image.
        color_jitter: largest distance of the factors of brightness, contrast and saturation from 1.
    """
    crop = (0.0, 0.0, 1.0, 1.0)
    if crop_area < 1:
        area, shape = (
            rng.uniform(crop_area, 1),
            math.exp(rng.uniform(math.log(_STRETCH[0]), math.log(_STRETCH[1]))),
        )
        height, width = min(1.0, math.sqrt(area / shape)), min(1.0, math.sqrt(area * shape))
        crop = (rng.uniform(0, 1 - height), rng.uniform(0, 1 - width), height, width)
    is_mirrored = bool(rng.random() < mirror)
    return Change(crop, is_mirrored, *rng.uniform(1 - color_jitter, 1 + color_jitter, 3).tolist())


def change_and_pad(frame: Tensor, image_size: int, change: Change) -> Tensor:
    """Change, resize and pad one frame as a decoder gives it: the content fills what it fills unchanged.

    Args:
        frame: ``(H, W, 3)`` uint8.
        image_size: L, pixels.
        change: drawn for the medium.

    Returns:
        ``(3, L, L)`` uint8.
    """
    height, width = frame.shape[:2]
    top, left, crop_height, crop_width = change.crop
    rows, columns = max(1, round(crop_height * height)), max(1, round(crop_width * width))
    top, left = min(round(top * height), height - rows), min(round(left * width), width - columns)
    if (rows, columns) == (height, width):
        padded = pad_channels_last(frame, image_size)
    else:
        part = frame[top : top + rows, left : left + columns]
        padded = stretch(part.permute(2, 0, 1), fit_inside(height, width, image_size), image_size)
    size = fit_inside(height, width, image_size)
    content = padded[:, : size[0], : size[1]]
    if change.is_mirrored:
        content.copy_(content.flip(-1))
    if (change.brightness, change.contrast, change.saturation) != (1.0, 1.0, 1.0):
        content.copy_(_recolor(content, change))
    return padded


def _recolor(frame: Tensor, change: Change) -> Tensor:
    levels = frame.float()
    grey = levels.mean(0, keepdim=True)
    levels = grey + (levels - grey) * change.saturation
    levels = (levels - 127.5) * change.contrast + 127.5
    return (levels * change.brightness).round_().clamp_(0, 255).to(torch.uint8)
