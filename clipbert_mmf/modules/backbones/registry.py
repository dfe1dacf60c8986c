"""The table of backbones, which turn frames into a grid of features. A user's package adds to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from clipbert_mmf.modules.backbones.grid_resnet import GridResnet, GridResnetOptions
from clipbert_mmf.modules.backbones.timm_features import TimmFeatures, TimmOptions
from clipbert_mmf.tables import is_same_definition


@dataclass(frozen=True)
class BackboneKind:
    """A backbone that ``model_config.clipbert.backbone.type`` can name.

    Attributes:
        options: frozen dataclass of the other keys of ``model_config.clipbert.backbone``.
        build: makes the module from the options and from whether the backward pass computes features again
            (``activation_checkpointing``). The module has ``out_channels`` and maps ``(F, 3, H, W)`` RGB
            frames, uint8 or float from 0 to 255, to ``(F, out_channels, h, w)``.
    """

    options: type
    build: Callable[[Any, bool], nn.Module]


BACKBONES: dict[str, BackboneKind] = {
    "grid_resnet": BackboneKind(GridResnetOptions, GridResnet),
    "timm": BackboneKind(TimmOptions, TimmFeatures),
}


def register_backbone(name: str, options: type, build: Callable[[Any, bool], nn.Module]) -> None:
    """Make ``model_config.clipbert.backbone.type: <name>`` possible.

    Args:
        name: value of ``type``.
        options: as in ``BackboneKind``.
        build: as in ``BackboneKind``.

    Raises:
        ValueError: if the name is taken by another backbone.
    """
    known = BACKBONES.get(name)
    if known is not None and not is_same_definition(known.build, build):
        raise ValueError(f"a backbone '{name}' is registered already")
    BACKBONES[name] = BackboneKind(options, build)
