"""The largest batch of a training step that a GPU holds, against clips and frames of a video (paper, figure 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from clipbert_mmf.models.network import ClipBertNetwork

#: (N_train, T) -> the paper's largest batch on a V100, where its text says it.
PAPER = {(1, 1): 190, (2, 1): None, (4, 1): None, (8, 1): None, (16, 1): 16, (1, 2): None, (1, 16): None}


def find_largest_batches(
    network: ClipBertNetwork,
    image_size: int,
    precision: torch.dtype,
    device: str,
    limit_gib: float | None = None,
    only_given: bool = False,
) -> dict[str, dict]:
    """Return the largest batch for each of ``PAPER``'s cases, a caption a video, forward and backward.

    Args:
        network: on the device.
        image_size: edge of a frame in pixels.
        precision: dtype of autocast.
        device: the card.
        limit_gib: memory that a step may take, as on a smaller card; None for the whole card.
        only_given: leave out the cases whose number the paper does not tell.

    Large batches are found to 2 %, and none is tried whose feature maps PyTorch cannot index with 32 bits.
    """
    network.train()
    if limit_gib is not None:
        whole = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_gib * 2**30 / whole))
    try:
        return _find(network, image_size, precision, device, only_given)
    finally:
        if limit_gib is not None:
            torch.cuda.set_per_process_memory_fraction(1.0)


def _find(
    network: ClipBertNetwork, image_size: int, precision: torch.dtype, device: str, only_given: bool
) -> dict[str, dict]:
    found = {}
    for (clips, length), paper in PAPER.items():
        if only_given and paper is None:
            continue
        largest = (2**31 - 1) // (clips * length * 64 * (image_size // 2) ** 2)

        def fits(batch, clips=clips, length=length, largest=largest):
            return batch <= largest and _fits(
                network, (batch, clips, length, 3, image_size, image_size), precision, device
            )

        found[f"N_train {clips}, T {length}"] = {
            "ours": search_largest(fits, tolerance=0.02),
            "paper, V100": paper,
        }
    return found


def search_largest(fits, tolerance: float = 0.0) -> int:
    """Return the largest number that ``fits``, 0 if 1 does not; numbers above it are taken not to fit.

    Args:
        fits: from a number to whether it fits.
        tolerance: share of the number by which it may be too small.
    """
    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > max(1, tolerance * low):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _fits(network: ClipBertNetwork, shape: tuple[int, ...], precision: torch.dtype, device: str) -> bool:
    try:
        frames = torch.zeros(shape, dtype=torch.uint8, device=device)
        ids = torch.ones(shape[0], 1, 20, dtype=torch.int64, device=device)
        with torch.autocast(device.partition(":")[0], dtype=precision):
            scores = network(frames, ids, ids, ids * 0)["scores"]
        F.cross_entropy(scores.float(), ids[:, 0, 0]).backward()
        return True
    except torch.cuda.OutOfMemoryError:
        return False
    finally:
        network.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
