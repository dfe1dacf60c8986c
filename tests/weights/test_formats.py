"""A file's format is recognised by the names inside, whatever stands before them."""

import pytest

from clipbert_mmf.weights.formats import FORMATS, detect_format, find_prefixes, modernise, why_unused


@pytest.mark.parametrize("key", FORMATS)
@pytest.mark.parametrize("prefix", ["", "model.module."])
def test_a_format_is_found_by_its_first_signature(key, prefix):
    assert detect_format([prefix + FORMATS[key].signatures[0], "epoch"]) == (key, [prefix])


def test_foreign_names_are_of_no_format():
    assert detect_format(["weight", "decoder.bias"]) is None


def test_a_module_that_is_registered_twice_has_two_prefixes_the_shorter_first():
    names = ["model.a.stem.conv1.weight", "a.stem.conv1.weight", "xstem.conv1.weight"]
    assert find_prefixes(names, ["stem.conv1.weight"]) == ["a.", "model.a."]


def test_tensorflows_names_of_the_norm_are_renamed():
    assert modernise("x.LayerNorm.gamma") == "x.LayerNorm.weight"
    assert modernise("x.LayerNorm.beta") == "x.LayerNorm.bias"
    assert modernise("gamma.weight") == "gamma.weight"


def test_useless_names_have_a_reason():
    assert why_unused(FORMATS["torchvision"], "fc.weight") == "ImageNet's classifier"
    assert why_unused(FORMATS["torchvision"], "conv1.weight") is None
