"""Writes ``expected.safetensors``: what the released arithmetic gives for inputs that need no file.

Run ``python -m tests.parity.make_expected`` from the repository's root. The numbers come from
``released_format`` alone, in double precision, and from the paper's text for the pixels; none of our modules
takes part. Run it again only when ``released_format`` was wrong, and say so in the commit.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from tests.parity import released_format as released

EXPECTED = Path(__file__).with_name("expected.safetensors")
HEADS = {"match": 2, "classify": 7, "choose": 1, "pretrain": 2}
NUM_HEADS = 4
#: Height and width of a frame before it is resized, and L.
FRAMES = {"wide": (45, 80, 64), "tall": (70, 33, 64), "small": (20, 31, 64)}


def make_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Return frames ``(2, 1, 2, 3, 96, 128)``, ids ``(2, 3, 8)`` and their mask."""
    frames = released.filled(2, 1, 2, 3, 96, 128, seed=9, spread=127, centre=127.5).to(torch.uint8)
    ids = torch.arange(2 * 3 * 8).mul(7).remainder(50).view(2, 3, 8)
    mask = torch.ones_like(ids)
    mask[:, 1, 5:] = 0
    return frames, ids, mask


def make_frame(name: str) -> Tensor:
    """Return ``(3, H, W)`` uint8."""
    height, width, _ = FRAMES[name]
    return released.filled(3, height, width, seed=len(name), spread=127, centre=127.5).to(torch.uint8)


def prepare_pixels(frame: Tensor, size: int) -> Tensor:
    """Return ``(3, L, L)`` float64 BGR.

    Longer side to L, pad with zeros, subtract the mean, swap the channels.
    """
    height, width = frame.shape[1:]
    longer, shorter = max(height, width), min(height, width)
    small = int(size * shorter / longer)
    target = (size, small) if height >= width else (small, size)
    resized = F.interpolate(frame[None].double(), target, mode="bilinear", align_corners=False)[0]
    padded = F.pad(resized, (0, size - target[1], 0, size - target[0]))
    return (padded - torch.tensor([123.675, 116.28, 103.53], dtype=torch.float64).view(3, 1, 1)).flip(0)


def compute() -> dict[str, Tensor]:
    """Return all expected tensors by name."""
    frames, ids, mask = make_inputs()
    expected = {
        f"pixels.{name}": prepare_pixels(make_frame(name), FRAMES[name][2]).float() for name in FRAMES
    }
    for head, outputs in HEADS.items():
        state = {
            name: value.double()
            for name, value in released.make_state(4, 16, 2, 50, 24, head, outputs).items()
        }
        grids = released.encode_frames(state, frames.flatten(0, 2).double())
        pairs = grids.unflatten(0, (2, 2)).repeat_interleave(3, 0)
        rows, pooled = released.encode_pairs(state, pairs, ids.flatten(0, 1), mask.flatten(0, 1), NUM_HEADS)
        expected[f"{head}.grids"] = grids.permute(0, 3, 1, 2).float()
        expected[f"{head}.pooled"] = pooled.float()
        expected[f"{head}.scores"] = released.score_pooled(state, pooled).float()
        if head == "pretrain":
            expected["pretrain.words"] = released.score_words(state, rows)[:, 2].float()
    return {name: value.contiguous() for name, value in expected.items()}


if __name__ == "__main__":
    save_file(compute(), EXPECTED)
