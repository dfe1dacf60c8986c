"""Names of a ResNet's tensors in Detectron2, Caffe2's MSRA models, torchvision and mmaction2."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_OWN = re.compile(
    r"backbone\.(?:stem|stages\.res(?P<stage>\d)\.(?P<block>\d+)\.(?:path\.(?P<path>\d)|shortcut))"
    r"\.(?P<kind>conv|norm)\.(?P<leaf>\w+)"
)


class BackbonePart(NamedTuple):
    """One tensor of the backbone.

    Attributes:
        stage: 2 to 5, or 0 for the stem.
        block: from 0.
        conv: 1 to 3 along the path, 0 for the shortcut.
        is_norm: whether it belongs to the norm after the convolution.
        leaf: ``weight``, ``bias``, ``running_mean``, ``running_var``.
    """

    stage: int
    block: int
    conv: int
    is_norm: bool
    leaf: str


def parse_part(own: str) -> BackbonePart | None:
    """Return the tensor that our name means, or None outside the backbone."""
    found = _OWN.fullmatch(own)
    if found is None:
        return None
    stage, block, path = (int(found[key] or 0) for key in ("stage", "block", "path"))
    conv = 0 if found["stage"] and found["path"] is None else path + 1
    return BackbonePart(stage, block, conv, found["kind"] == "norm", found["leaf"])


def _on_backbone(rename: Callable[[BackbonePart], str | None]) -> Callable[[str], str | None]:
    def rename_own(own: str) -> str | None:
        part = parse_part(own)
        return None if part is None else rename(part)

    rename_own.__doc__ = rename.__doc__
    return rename_own


@_on_backbone
def to_detectron2(part: BackbonePart) -> str:
    """Return Detectron2's name: ``res3.0.conv2.norm.bias`` for ``backbone.stages.res3.0.path.1.norm.bias``."""
    place = f"res{part.stage}.{part.block}" if part.stage else "stem"
    conv = f"conv{part.conv}" if part.conv else "shortcut"
    return f"{place}.{conv}.norm.{part.leaf}" if part.is_norm else f"{place}.{conv}.{part.leaf}"


@_on_backbone
def to_caffe2(part: BackbonePart) -> str:
    """Return Caffe2's name: ``res3_0_branch2b_bn_b`` for ``backbone.stages.res3.0.path.1.norm.bias``."""
    branch = f"branch2{'abc'[part.conv - 1]}" if part.conv else "branch1"
    place = f"res{part.stage}_{part.block}_{branch}" if part.stage else "conv1"
    if not part.is_norm:
        return f"{place}_w"
    leaf = {"weight": "s", "bias": "b"}.get(part.leaf, part.leaf)
    return f"{place}_bn_{leaf}" if part.stage else f"res_{place}_bn_{leaf}"


@_on_backbone
def to_torchvision(part: BackbonePart) -> str:
    """Return torchvision's name: ``layer2.0.bn2.bias`` for ``backbone.stages.res3.0.path.1.norm.bias``."""
    if not part.stage:
        return f"{'bn1' if part.is_norm else 'conv1'}.{part.leaf}"
    place = f"layer{part.stage - 1}.{part.block}"
    if not part.conv:
        return f"{place}.downsample.{int(part.is_norm)}.{part.leaf}"
    return f"{place}.{'bn' if part.is_norm else 'conv'}{part.conv}.{part.leaf}"


@_on_backbone
def to_mmaction2(part: BackbonePart) -> str:
    """Return mmaction2's name: ``layer2.0.conv2.bn.bias`` for ``backbone.stages.res3.0.path.1.norm.bias``."""
    kind = "bn" if part.is_norm else "conv"
    if not part.stage:
        return f"conv1.{kind}.{part.leaf}"
    conv = f"conv{part.conv}" if part.conv else "downsample"
    return f"layer{part.stage - 1}.{part.block}.{conv}.{kind}.{part.leaf}"
