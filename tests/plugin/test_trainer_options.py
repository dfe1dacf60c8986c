"""MMF's configuration becomes options once; a key that nothing reads is refused with the nearest name."""

import pytest

pytest.importorskip("mmf")

from mmf.utils.configuration import get_default_config_path, load_yaml
from omegaconf import OmegaConf

from clipbert_mmf.paths import config_dir
from clipbert_mmf.plugin.trainer_options import parse_run_options
from clipbert_mmf.training.options import EarlyStopOptions, RunOptions


def parse(**sections):
    defaults, own = (
        load_yaml(str(path))
        for path in (get_default_config_path(), config_dir() / "training" / "clipbert.yaml")
    )
    config = OmegaConf.merge(defaults, own, OmegaConf.create(sections))
    OmegaConf.set_struct(config, True)
    return parse_run_options(config)


def test_the_configuration_file_gives_values_of_the_right_types():
    options = parse(training={"max_epochs": 3, "early_stop": {"criteria": "a/b/c"}}, run_type="train_val")
    assert isinstance(options, RunOptions) and options.trains
    assert options.loop.max_epochs == 3.0 and options.loop.gradient_limit == 5.0
    assert options.early_stop == EarlyStopOptions(criteria="a/b/c")
    assert options.checkpoint.max_to_keep == 2 and options.multitasking is not None


def test_lists_of_the_optimizer_become_plain_values():
    options = parse(optimizer={"type": "AdamW", "params": {"betas": [0.9, 0.98]}})
    assert type(options.optimizer_params["betas"]) is list and options.optimizer_params["betas"] == [
        0.9,
        0.98,
    ]


@pytest.mark.parametrize(
    "sections, message",
    [
        (
            {"training": {"persistant_workers": True}},
            r"training.persistant_workers is unknown \(did you mean 'persistent_workers'\?\)",
        ),
        ({"training": {"early_stop": {"metric": "r1"}}}, r"training.early_stop.metric is unknown"),
        (
            {"checkpoint": {"reset": {"counters": True}}},
            r"checkpoint.reset.counters is unknown \(did you mean 'counts'",
        ),
        (
            {"evaluation": {"rerank_topk": 5}},
            r"evaluation.rerank_topk is unknown \(did you mean 'rerank_top_k'",
        ),
        (
            {"training": {"clip_norm_mode": "al"}},
            r"training.clip_norm_mode is 'al' \(did you mean 'all'\?\); allowed are all, question",
        ),
        (
            {"training": {"wandb": {"enabled": "yes"}}},
            r"training.wandb.enabled is 'yes'; expected true or false",
        ),
        ({"multitasking": {"kind": "random"}}, r"multitasking.kind is unknown"),
        (
            {"training": {"log_interval": "often"}},
            r"training.log_interval is 'often'; expected a whole number",
        ),
    ],
)
def test_a_key_or_a_value_that_nothing_can_use_is_refused(sections, message):
    with pytest.raises(ValueError, match=message):
        parse(**sections)


def test_keys_of_the_other_mmf_and_of_mmfs_own_projects_are_allowed():
    parse(training={"callbacks": [], "stdout_capture": False, "task_size_proportional_sampling": True})
