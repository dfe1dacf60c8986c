"""Where in the frame: how much each place adds to a clip's score, by Captum (Grad-CAM, or occlusion).

Before ``evidence``. Grad-CAM needs one backward pass and is as fine as the grid; occlusion covers the frame window by
window, one forward pass each, and needs no grid. ``tools/pointing_game.py`` measures which of them points at the thing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

#: Side of the covered window against the frame's; windows overlap by half.
WINDOW_SHARE = 3 / 16
#: A grid of fewer cells a side is too coarse for Grad-CAM to point.
MIN_CELLS = 4

Tell = Callable[[int, int], None]


def ignore_progress(done: int, total: int) -> None:
    """Tell nobody."""


def measure_grad_cam(
    score: nn.Module, network: nn.Module, pictures: Tensor, tell: Tell = ignore_progress
) -> Tensor:
    """Return Grad-CAM of the grid, what lowers the score cut off.

    Args:
        score: pictures to ``(K,)`` scores.
        network: whose grid is used.
        pictures: ``(K, T, 3, L, L)`` float, 0 to 255.
        tell: gets passes done and in all.

    Returns:
        ``(K, T, h, w)``, 0 or more.

    Raises:
        ImportError: if Captum is not installed.
    """
    from captum.attr import LayerGradCam

    # Parameters that do not train have no gradients, which Captum follows from the pictures on.
    with torch.enable_grad():
        heat = LayerGradCam(score, network.grid_encoder).attribute(pictures, relu_attributions=True)
    return heat.detach().float().squeeze(1).unflatten(0, pictures.shape[:2])


def measure_occlusion(
    score: nn.Module, network: nn.Module, pictures: Tensor, tell: Tell = ignore_progress
) -> Tensor:
    """Return by how much a clip's score falls where its frames are covered, rises cut off.

    A window covers the same place in all T frames of a clip, with the grey that the network takes for nothing; the
    black that pads frames to a square stays as it is.

    Args, Raises: as ``measure_grad_cam``.

    Returns:
        ``(K, T, L, L)``, 0 or more, the same for all T.
    """
    from captum.attr import Occlusion

    frames, side = pictures.shape[1], pictures.shape[-1]
    window = max(1, round(WINDOW_SHARE * side))
    stride = max(1, window // 2)
    places = -(-(side - window) // stride) + 1
    # A grey for each of R, G, B; a network without one has its middle at 128.
    grey = getattr(network.backbone, "pixel_mean", pictures.new_full((3, 1, 1), 128.0))
    is_padding = pictures.amax((0, 1, 2)) == 0
    cover = torch.where(is_padding, pictures, grey.to(pictures).expand_as(pictures))
    passes = 0

    def count(covered: Tensor) -> Tensor:
        nonlocal passes
        tell(passes, places**2 + 1)
        passes += 1
        return score(covered)

    with torch.no_grad():
        heat = Occlusion(count).attribute(
            pictures,
            sliding_window_shapes=(frames, 3, window, window),
            strides=(frames, 3, stride, stride),
            baselines=cover,
        )
    return heat.float().sum(2).clamp(min=0)


HEATS: dict[str, Callable[..., Tensor]] = {"grad_cam": measure_grad_cam, "occlusion": measure_occlusion}


def choose_heat(name: str | None, cells: int) -> str:
    """Return a key of ``HEATS``: the named one, or by how many cells the grid has a side.

    Raises:
        ValueError: for an unknown name.
    """
    if name is None:
        return "grad_cam" if cells >= MIN_CELLS else "occlusion"
    if name not in HEATS:
        raise ValueError(f"heat is '{name}'; allowed are {', '.join(HEATS)}, or None: by the grid")
    return name
