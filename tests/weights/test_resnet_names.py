"""Names that other libraries give the tensors of a ResNet."""

import pytest

from clipbert_mmf.models.build import build_network
from clipbert_mmf.weights.resnet_names import (
    BackbonePart,
    parse_part,
    to_caffe2,
    to_detectron2,
    to_mmaction2,
    to_torchvision,
)
from tests.network_settings import small_config

NORM = "backbone.stages.res3.0.path.1.norm.bias"
FORMATS = {
    to_detectron2: ("res3.0.conv2.norm.bias", "stem.conv1.weight", "res2.1.shortcut.weight"),
    to_caffe2: ("res3_0_branch2b_bn_b", "conv1_w", "res2_1_branch1_w"),
    to_torchvision: ("layer2.0.bn2.bias", "conv1.weight", "layer1.1.downsample.0.weight"),
    to_mmaction2: ("layer2.0.conv2.bn.bias", "conv1.conv.weight", "layer1.1.downsample.conv.weight"),
}
OWN = (NORM, "backbone.stem.conv.weight", "backbone.stages.res2.1.shortcut.conv.weight")


def test_a_name_is_taken_apart():
    assert parse_part(NORM) == BackbonePart(3, 0, 2, True, "bias")
    assert parse_part("encoder.layers.0.query.weight") is None


@pytest.mark.parametrize("rename", FORMATS)
def test_names_of_norm_stem_and_shortcut(rename):
    assert tuple(rename(own) for own in OWN) == FORMATS[rename]
    assert rename("head.output.weight") is None


@pytest.mark.parametrize("rename", FORMATS)
def test_every_tensor_of_the_backbone_has_a_name_of_its_own(rename):
    names = [name for name in build_network(small_config()).state_dict() if name.startswith("backbone.sta")]
    theirs = [rename(name) for name in names]
    assert len(names) > 100 and None not in theirs and len(set(theirs)) == len(names)
