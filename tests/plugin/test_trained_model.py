"""A run knows which options were typed, and which trained settings it takes over."""

import argparse

import pytest
from mmf.common.registry import registry
from omegaconf import OmegaConf

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.config import dump_model_config, parse_model_config
from clipbert_mmf.plugin.run_folder import name_evaluation
from clipbert_mmf.plugin.trained_model import RunModel
from clipbert_mmf.weights.trained_with import TrainedWith


@pytest.fixture()
def typed():
    def set_options(*options):
        registry.register("configuration", argparse.Namespace(args=argparse.Namespace(opts=list(options))))

    before = registry.get("configuration", None, no_warning=True)
    yield set_options
    registry.register("configuration", before)


def make_model(theirs):
    trained = TrainedWith({}, dump_model_config(parse_model_config(theirs)))
    return RunModel(OmegaConf.create({}), trains=False, trained=trained)


def test_typed_options_are_known_by_key_by_section_and_in_turn(typed):
    model = RunModel(OmegaConf.create({}), trains=False)
    typed("a.b.c=1", "x.y={z: 2}", "d.answers=file.json")
    assert all(map(model.is_typed, ("a.b.c", "x.y.z", "d.answers.file")))
    assert not any(map(model.is_typed, ("a.b", "a.b.d", "x.y.q", "d.answers.num_answers", "a.b.c2")))
    typed("a.b", "1")
    assert model.is_typed("a.b") and not model.is_typed("a.c")


def test_the_fold_and_the_pixels_of_the_trained_model_are_used_unless_others_are_typed(typed):
    model = make_model({"fold": "max", "backbone": {"bgr": False, "pixel_std": [2.0, 2.0, 2.0]}})
    typed()
    bound = model.bind_model(parse_model_config({}), [])
    assert bound.fold == "max" and bound.backbone.options.bgr is False
    assert tuple(bound.backbone.options.pixel_std) == (2.0, 2.0, 2.0)
    typed("model_config.clipbert.fold=mean")
    assert model.bind_model(parse_model_config({"fold": "mean"}), []).fold == "mean"


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"transformer": {"num_heads": 6}}, "transformer.num_heads is 6 and the model .* trained with 12"),
        ({"head": {"type": "regress"}}, "head.type is regress and the model .* trained with match"),
        ({"temporal_fusion": "conv3d"}, "temporal_fusion is conv3d and the model .* trained with mean"),
    ],
)
def test_what_would_compute_something_else_is_an_error(typed, section, key):
    typed()
    with pytest.raises(ConfigurationError, match=key):
        make_model({}).bind_model(parse_model_config(section), [])


def test_what_only_training_reads_may_differ_and_multiple_choice_takes_the_head_of_retrieval(typed):
    typed()
    own = parse_model_config({"head": {"type": "choose_by_match"}, "transformer": {"dropout": 0.5}})
    assert make_model({}).bind_model(own, []) == own


def test_a_prediction_never_counts_as_training():
    names = {
        "train_val_test": "val_test",
        "train_inference": "inference",
        "train": "inference",
        "": "inference",
    }
    assert {name: name_evaluation(name) for name in names} == names
