"""Frames of any size to L x L, uint8 in and uint8 out: resize, then pad (spec section 2, paper section 4.1).

Comes after ``video.decode``; normalising happens on the device, in the backbone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def fit_inside(height: int, width: int, image_size: int) -> tuple[int, int]:
    """Return the size of a ``height`` x ``width`` picture whose longer side became ``image_size``.

    The shorter side is ``int(L * short / long)``, the released model's rule, but at least 1 pixel.
    """
    longer, shorter = max(height, width), min(height, width)
    small = max(image_size * shorter // longer, 1)
    return (image_size, small) if height >= width else (small, image_size)


def resize_and_pad(frame: Tensor, image_size: int) -> Tensor:
    """Resize so that the longer side is L, then pad with zeros on the right and at the bottom.

    Bilinear with ``align_corners=False`` and no antialias, rounded to the nearest grey level: what the released
    model saw, at most half a level off, in a quarter of the bytes of float frames.

    Args:
        frame: ``(..., 3, H, W)`` uint8; any strides, ``(H, W, 3)`` storage is the fast one.
        image_size: L, pixels.
    Returns:
        ``(..., 3, L, L)`` uint8, contiguous.
    Raises:
        ValueError: for another dtype, fewer than 3 dimensions, an empty frame, or L below 1.
    """
    if frame.dtype != torch.uint8 or frame.ndim < 3 or 0 in frame.shape:
        raise ValueError(f"frame is {tuple(frame.shape)} {frame.dtype}; expected (..., 3, H, W) uint8, not empty")
    if image_size < 1:
        raise ValueError(f"image_size is {image_size}; expected at least 1 pixel")
    *lead, channels, height, width = frame.shape
    new_height, new_width = fit_inside(height, width, image_size)
    padded = frame.new_zeros((*lead, channels, image_size, image_size))
    frames = frame.reshape(-1, channels, height, width)
    target = padded.view(-1, channels, image_size, image_size)[..., :new_height, :new_width]
    if (new_height, new_width) == (height, width):
        target.copy_(frames)
    else:
        target.copy_(_resize(frames, new_height, new_width))
    return padded


def _resize(frames: Tensor, height: int, width: int) -> Tensor:
    # torch's uint8 kernel rounds twice and is up to one level off, so the arithmetic is float.
    resized = F.interpolate(frames.float(), size=(height, width), mode="bilinear", align_corners=False)
    return resized.round_().to(torch.uint8)
