"""Measure saliency: how much each place of a frame adds to a clip's score, by Captum (Grad-CAM, or occlusion).

Grad-CAM needs one backward pass and is as fine as the grid; occlusion covers the frame window by window, one
forward pass each, and needs no grid. ``tools/pointing_game.py`` measures which of them points at the object.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clipbert_mmf.models.network import ClipBertNetwork

#: Side of the covered window as a share of the frame's side; windows overlap by half.
WINDOW_SHARE = 3 / 16
#: A grid of fewer cells a side is too coarse for Grad-CAM to point.
MIN_CELLS = 4

#: Gets the number of passes that are done, and of all.
ReportProgress = Callable[[int, int], None]


def ignore_progress(done: int, total: int) -> None:
    """Do nothing with the progress."""


def measure_grad_cam(
    score: nn.Module,
    network: ClipBertNetwork,
    pictures: Tensor,
    report_progress: ReportProgress = ignore_progress,
) -> Tensor:
    """Return Grad-CAM of the grid, with what lowers the score cut off.

    Args:
        score: module from pictures to ``(K,)`` scores.
        network: the network whose grid is used.
        pictures: ``(K, T, 3, L, L)`` float, 0 to 255.
        report_progress: not called: there is one pass.

    Returns:
        ``(K, T, h, w)`` float32, 0 or more.

    Raises:
        ImportError: if Captum is not installed.
    """
    from captum.attr import LayerGradCam

    # Parameters that do not train have no gradients, so Captum follows them from the pictures on.
    with torch.enable_grad():
        saliency = LayerGradCam(score, network.grid_encoder).attribute(pictures, relu_attributions=True)
    assert isinstance(saliency, Tensor)  # one layer was asked for
    return saliency.detach().float().squeeze(1).unflatten(0, pictures.shape[:2])


def measure_occlusion(
    score: nn.Module,
    network: ClipBertNetwork,
    pictures: Tensor,
    report_progress: ReportProgress = ignore_progress,
) -> Tensor:
    """Return by how much a clip's score falls where its frames are covered, with rises cut off.

    A window covers the same place in all T frames of a clip, with the grey that the network normalises to
    zero; the black that pads frames to a square stays as it is.

    Args:
        score: module from pictures to ``(K,)`` scores.
        network: the network whose mean pixel is the grey.
        pictures: ``(K, T, 3, L, L)`` float, 0 to 255.
        report_progress: called before each pass.

    Returns:
        ``(K, T, L, L)`` float32, 0 or more, the same for all T.

    Raises:
        ImportError: if Captum is not installed.
    """
    from captum.attr import Occlusion

    frames, side = pictures.shape[1], pictures.shape[-1]
    window = max(1, round(WINDOW_SHARE * side))
    stride = max(1, window // 2)
    places = -(-(side - window) // stride) + 1
    # One grey for each of R, G, B; a network without a mean pixel has its middle at 128.
    grey = getattr(network.backbone, "pixel_mean", pictures.new_full((3, 1, 1), 128.0))
    is_padding = pictures.amax((0, 1, 2)) == 0
    cover = torch.where(is_padding, pictures, grey.to(pictures).expand_as(pictures))
    passes = 0

    def count(covered: Tensor) -> Tensor:
        nonlocal passes
        report_progress(passes, places**2 + 1)
        passes += 1
        return score(covered)

    with torch.no_grad():
        saliency = Occlusion(count).attribute(
            pictures,
            sliding_window_shapes=(frames, 3, window, window),
            strides=(frames, 3, stride, stride),
            baselines=cover,
        )
    return saliency.float().sum(2).clamp(min=0)


SALIENCY_METHODS: dict[str, Callable[[nn.Module, ClipBertNetwork, Tensor, ReportProgress], Tensor]] = {
    "grad_cam": measure_grad_cam,
    "occlusion": measure_occlusion,
}


def choose_saliency_method(name: str | None, num_cells: int) -> str:
    """Return a key of ``SALIENCY_METHODS``: the named one, or the one that suits the grid.

    Args:
        name: the method, or None.
        num_cells: cells of the grid along its shorter side.

    Raises:
        ValueError: for an unknown name.
    """
    if name is None:
        return "grad_cam" if num_cells >= MIN_CELLS else "occlusion"
    if name not in SALIENCY_METHODS:
        raise ValueError(
            f"saliency method is '{name}'; allowed are {', '.join(SALIENCY_METHODS)}, or None to choose by "
            f"the grid"
        )
    return name
