"""Names of EfficientNet in timm and in ``efficientnet_pytorch``, whose blocks are counted through."""

from __future__ import annotations

import re
from collections.abc import Mapping

_BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)\.(.+)")
#: Parts of a block that widens first, and of one that does not.
_WIDE = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
_NARROW = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_SQUEEZE = {"se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand"}
#: Before and behind the blocks.
_ENDS = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}


def to_efficientnet_pytorch(full_names: Mapping[str, str]) -> dict[str, str | None]:
    """Return our name -> the name in ``efficientnet_pytorch``, or None where it has none.

    Args:
        full_names: our name -> the name in timm's whole network.
    """
    blocks = [match for match in map(_BLOCK.fullmatch, full_names.values()) if match]
    places = sorted({(int(match[1]), int(match[2])) for match in blocks})
    wide = {(int(match[1]), int(match[2])) for match in blocks if match[3].startswith("conv_pwl.")}
    return {own: _rename(name, places, wide) for own, name in full_names.items()}


def _rename(name: str, places: list[tuple[int, int]], wide: set[tuple[int, int]]) -> str | None:
    match = _BLOCK.fullmatch(name)
    if match is None:
        module, _, leaf = name.rpartition(".")
        return f"{_ENDS[module]}.{leaf}" if module in _ENDS else None
    place = int(match[1]), int(match[2])
    module, _, leaf = match[3].rpartition(".")
    part = {**(_WIDE if place in wide else _NARROW), **_SQUEEZE}.get(module)
    return None if part is None else f"_blocks.{places.index(place)}.{part}.{leaf}"
