"""The mean and divisor of pixels: checked before a network is built, applied before its first layer."""

from __future__ import annotations

import torch
from torch import Tensor

Channels = tuple[float, float, float]


def check_pixel_options(pixel_mean: Channels | None, pixel_std: Channels | None) -> None:
    """Raise ``ValueError`` for values that are meant for pixels of 0 to 1; frames have grey levels of 0 to 255.

    Args:
        pixel_mean: mean of R, G, B, or None.
        pixel_std: divisor of R, G, B, or None.
    """
    for name, values, suspicious in (
        ("pixel_std", pixel_std, lambda value: value < 1),
        ("pixel_mean", pixel_mean, lambda value: 0 < value < 1),
    ):
        if values is not None and any(map(suspicious, values)):
            grey = ",".join(f"{255 * value:g}" for value in values)
            raise ValueError(
                f"{name} is {list(values)}, which is for pixels of 0 to 1; frames have grey levels of 0 to "
                f"255: set {name}=[{grey}]"
            )


def normalize_pixels(frames: Tensor, pixel_mean: Tensor, pixel_std: Tensor, *, is_bgr: bool) -> Tensor:
    """Return frames as a network wants them, channels last in memory.

    Args:
        frames: ``(F, 3, H, W)`` uint8 or float RGB, 0 to 255.
        pixel_mean: ``(3, 1, 1)``, mean of R, G, B in grey levels; its dtype is the result's.
        pixel_std: ``(3, 1, 1)``, divisor of R, G, B.
        is_bgr: whether the network wants blue first.
    """
    x = (frames.to(pixel_mean.dtype) - pixel_mean) / pixel_std
    return (x.flip(1) if is_bgr else x).contiguous(memory_format=torch.channels_last)
