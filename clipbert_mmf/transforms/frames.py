"""Resizes and pads frames of any size to L x L, uint8 in and uint8 out (paper section 4.1).

Normalising happens on the device, in the backbone.
"""

from __future__ import annotations

from functools import lru_cache

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

    Bilinear with ``align_corners=False`` and no antialias, rounded to the nearest grey level: what the
    released model saw, at most half a level off, in a quarter of the bytes of float frames.

    Args:
        frame: ``(..., 3, H, W)`` uint8; any strides, ``(H, W, 3)`` storage is the fast one.
        image_size: L, pixels.

    Returns:
        ``(..., 3, L, L)`` uint8, contiguous.

    Raises:
        ValueError: for another dtype, fewer than 3 dimensions, an empty frame, or L below 1.
    """
    if frame.dtype != torch.uint8 or frame.ndim < 3 or 0 in frame.shape:
        raise ValueError(
            f"frame is {tuple(frame.shape)} {frame.dtype}; expected (..., 3, H, W) uint8, not empty"
        )
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


def stretch(frame: Tensor, size: tuple[int, int], image_size: int) -> Tensor:
    """Resize a frame to a height and width, whatever its own shape, and pad it.

    Args:
        frame: ``(3, H, W)`` uint8.
        size: height and width, at most L.
        image_size: L, pixels.

    Returns:
        ``(3, L, L)`` uint8, contiguous.
    """
    padded = frame.new_zeros((3, image_size, image_size))
    padded[:, : size[0], : size[1]] = _resize(frame[None], *size)[0]
    return padded


def pad_channels_last(frame: Tensor, image_size: int) -> Tensor:
    """Resize and pad one frame as a decoder gives it; see ``resize_and_pad``.

    Here, and not beside its caller, because the watchdog's reader process must be able to import it cheaply.

    Args:
        frame: ``(H, W, 3)`` uint8.
        image_size: L, pixels.

    Returns:
        ``(3, L, L)`` uint8.
    """
    return resize_and_pad(frame.permute(2, 0, 1), image_size)


def _resize(frames: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, one axis after the other in float, rounded once.

    torch's uint8 kernel is faster still, but it rounds after each axis and is up to a whole level off; its
    float kernel reads four neighbours per value where two and two do.

    Returns:
        ``(F, C, height, width)`` int16: torch turns float into int16 and int16 into uint8 five times faster
        than float into uint8.
    """
    # (H, W, 3) storage is turned to planes on the side where there are fewer rows.
    if height > frames.shape[-2]:
        mixed = _mix_rows(frames, height, axis=2)
    else:
        mixed = _mix_rows(frames.permute(0, 2, 3, 1), height, axis=1).permute(0, 3, 1, 2)
    mixed = mixed.contiguous()
    if width != mixed.shape[-1]:
        mixed = F.interpolate(mixed.flatten(0, 1), size=width, mode="linear", align_corners=False)
    return mixed.round_().to(torch.int16).view(*frames.shape[:2], height, width)


def _mix_rows(frames: Tensor, height: int, axis: int) -> Tensor:
    """Return float frames with ``height`` rows along ``axis``.

    Whole rows are gathered while they are still bytes.
    """
    frames = frames.contiguous()
    if height == frames.shape[axis]:
        return frames.float()
    above, below, share = _neighbours(frames.shape[axis], height)
    share = share.view(-1, *[1] * (frames.ndim - axis - 1))
    return frames.index_select(axis, above).float().lerp_(frames.index_select(axis, below).float(), share)


@lru_cache(maxsize=256)
def _neighbours(old: int, new: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each of ``new`` positions its two neighbours among ``old`` ones, and the second one's share."""
    position = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5).clamp_(min=0.0)
    first = position.long().clamp_(max=old - 1)
    return first, (first + 1).clamp_(max=old - 1), (position - first).float()
