"""The table of backbones: a name is taken once."""

from dataclasses import dataclass

import pytest
from torch import nn

from clipbert_mmf.modules.backbones.registry import BACKBONES, register_backbone


@dataclass(frozen=True)
class Options:
    width: int = 1


def build(options, activation_checkpointing):
    return nn.Identity()


def test_a_backbone_may_be_registered_again_but_not_by_another(monkeypatch):
    monkeypatch.delitem(BACKBONES, "own_identity", raising=False)
    for _ in range(2):
        register_backbone("own_identity", Options, build)
    assert BACKBONES["own_identity"].options is Options
    del BACKBONES["own_identity"]
    with pytest.raises(ValueError, match="a backbone 'grid_resnet' is registered already"):
        register_backbone("grid_resnet", Options, build)
    assert "own_identity" not in BACKBONES
