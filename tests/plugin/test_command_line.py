"""Options of the command line are set as they are meant, or refused with what to type."""

import mmf  # noqa: F401
import pytest
from omegaconf import OmegaConf

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin.command_line import (
    decode_value,
    parse_options,
    select_early_options,
    set_options,
)


def make_config():
    return OmegaConf.create(
        {
            "model": None,
            "datasets": [],
            "training": {"batch_size": 8, "early_stop": {"enabled": False, "patience": 3}},
            "optimizer": {"params": {"lr": 0.1, "eps": 1e-6}},
            "evaluation": {"metrics": ["first", {"type": "second"}]},
            "model_config": {"clipbert": {"heads": None, "losses": ["clipbert_match"]}},
            "dataset_config": {"msrvtt_qa": {"annotations": {"train": "a.json", "val": ["b.json"]}}},
        }
    )


@pytest.mark.parametrize(
    "text, value",
    [
        ("7", 7),
        ("-1", -1),
        ("1e-3", 1e-3),
        ("0.5", 0.5),
        ("null", None),
        ("None", None),
        ("true", True),
        ("False", False),
        ("lse", "lse"),
        ("'7'", "7"),
        ('"a b"', "a b"),
        ("a=b", "a=b"),
        ("no", "no"),
        ("2020-01-01", "2020-01-01"),
        ("[1, 2.5, 1e-3, null, true, a]", [1, 2.5, 1e-3, None, True, "a"]),
        ("[[1, 2], ['x']]", [[1, 2], ["x"]]),
        ("[]", []),
        ("{train: 2, eval: 1e-5}", {"train": 2, "eval": 1e-5}),
        ("{'a': None, \"b\": [off]}", {"a": None, "b": ["off"]}),
        ("{}", {}),
        ("{a: {b: [{c: 1}]}}", {"a": {"b": [{"c": 1}]}}),
        ("${env.data_dir}/x", "${env.data_dir}/x"),
    ],
)
def test_a_value_means_what_it_means_in_yaml(text, value):
    decoded = decode_value(text, f"key={text}")
    assert decoded == value and type(decoded) is type(value)


@pytest.mark.parametrize(
    "option, place, value",
    [
        ("training.early_stop={enabled: true}", "training.early_stop", {"enabled": True, "patience": 3}),
        (
            "optimizer.params={lr: 1e-4, fused: true}",
            "optimizer.params",
            {"lr": 1e-4, "eps": 1e-6, "fused": True},
        ),
        ("optimizer.params.fused=true", "optimizer.params.fused", True),
        ("evaluation.metrics[0]=third", "evaluation.metrics", ["third", {"type": "second"}]),
        ("evaluation.metrics[1].type=third", "evaluation.metrics", ["first", {"type": "third"}]),
        ("evaluation.metrics[2]=third", "evaluation.metrics", ["first", {"type": "second"}, "third"]),
        ("evaluation.metrics=[third]", "evaluation.metrics", ["third"]),
        (
            "model_config.clipbert.heads={msrvtt_qa: {type: classify}}",
            "model_config.clipbert.heads",
            {"msrvtt_qa": {"type": "classify"}},
        ),
        (
            "model_config.clipbert.heads.msrvtt_qa.type=classify",
            "model_config.clipbert.heads",
            {"msrvtt_qa": {"type": "classify"}},
        ),
        (
            "model_config.clipbert.backbone.pixel_std=[1, 2, 3]",
            "model_config.clipbert.backbone.pixel_std",
            [1, 2, 3],
        ),
        (
            "model_config.clipbert.losses[0].params.weight=0.5",
            "model_config.clipbert.losses",
            [{"type": "clipbert_match", "params": {"weight": 0.5}}],
        ),
        (
            "dataset_config.msrvtt_qa.annotations.train[0].split=val",
            "dataset_config.msrvtt_qa.annotations.train",
            [{"file": "a.json", "split": "val"}],
        ),
        (
            "dataset_config.msrvtt_qa.texts_per_item={train: 2, eval: 2}",
            "dataset_config.msrvtt_qa.texts_per_item",
            {"train": 2, "eval": 2},
        ),
        ("checkpoint.reset.optimizer=true", "checkpoint.reset", {"optimizer": True}),
        ("dataset=msrvtt_qa", "datasets", "msrvtt_qa"),
        ("dataset=[msrvtt_qa, msrvtt_mc]", "datasets", "msrvtt_qa,msrvtt_mc"),
    ],
)
def test_an_option_is_set_where_it_says(option, place, value):
    found = OmegaConf.select(set_options(make_config(), [option]), place)
    assert (OmegaConf.to_container(found) if OmegaConf.is_config(found) else found) == value


def test_mmfs_keys_and_values_in_turn_are_read_too():
    config = set_options(make_config(), ["training.batch_size", "4", "model", "clipbert"])
    assert (config.training.batch_size, config.model) == (4, "clipbert")


@pytest.mark.parametrize(
    "options, message",
    [
        (["model=clipbert", "train"], r"'train' is no option.*did you mean 'run_type=train'"),
        (["model=clipbert", "msrvtt_qa"], r"did you mean 'dataset=msrvtt_qa'"),
        (["model=clipbert", "my.yaml"], r"did you mean 'config=my.yaml'"),
        (["stray"], "'stray' is no option: options are key=value"),
        (["model=clipbert", "training.batch_size", "=", "4"], "without spaces; write training.batch_size=4"),
        (["training.batch_size=", "4"], "without spaces: training.batch_size=4"),
        (["model=clipbert", "training.batch_size", "=4"], "write training.batch_size=4"),
        (["training.batch_size="], "has no value; write training.batch_size=null"),
        (["model=clipbert", "--json"], "'--json' is no option of a run"),
        (["training..x=1"], "'training..x' is no key"),
        (["evaluation.metrics[x]=1"], "is no key"),
        (["datset=msrvtt_qa"], r"datset is unknown \(did you mean 'dataset'\?\)"),
        (["trainng.batch_size=1"], r"trainng is unknown \(did you mean 'training'\?\)"),
        (["training.batchsize=1"], r"training.batchsize is unknown \(did you mean 'batch_size'\?\)"),
        (["training={batchsize: 1}"], r"training.batchsize is unknown \(did you mean 'batch_size'\?\)"),
        (["checkpoint.rest.all=true"], r"checkpoint.rest is unknown \(did you mean 'reset'\?\)"),
        (["env.savedir=x"], r"env.savedir is unknown \(did you mean 'save_dir'\?\)"),
        (["distributed.timeout=3"], r"distributed.timeout is unknown \(did you mean 'timeout_sec'\?\)"),
        (["scheduler.typ=x"], r"scheduler.typ is unknown \(did you mean 'type'\?\)"),
        (["model_config.visual_bert.x=1"], "model_config.visual_bert is unknown"),
        (["training.early_stop=null"], "training.early_stop is a section with keys; set one of them"),
        (["training.batch_size.x=1"], "training.batch_size is 8, not a section"),
        (
            ["evaluation.metrics[5]=x"],
            "evaluation.metrics has 2 entries, numbered from 0; give the whole list",
        ),
        (["evaluation.metrics.type=x"], r"is a list; name the entry, as in evaluation.metrics\[0\].type"),
        (
            ["dataset_config.msrvtt_qa.annotations.val.only=x"],
            r"as in dataset_config.msrvtt_qa.annotations.val\[0\].only",
        ),
        (["evaluation.metrics=[a"], r"'evaluation.metrics=\[a' cannot be read.*in quotes of the shell"),
    ],
)
def test_what_cannot_be_set_is_quoted_with_what_to_type(options, message):
    with pytest.raises(ConfigurationError, match=message):
        set_options(make_config(), options)


def test_the_last_of_two_options_for_a_key_is_used_and_told(caplog):
    options = ["model=clipbert", "dataset=msrvtt_qa", "training.batch_size=4", "training.batch_size=2"]
    select_early_options([*options, "model=clipbert"])
    assert len(caplog.records) == 1
    assert "'training.batch_size=4' and 'training.batch_size=2' set one key; the last is used" in caplog.text
    assert set_options(make_config(), options).training.batch_size == 2


def test_options_whose_key_is_not_there_yet_can_wait():
    config = set_options(
        make_config(), ["training.seed=1", "training.batch_size=2", "a.b[0].c=1"], skip_missing=True
    )
    assert config.training.batch_size == 2 and "seed" not in config.training and "a" not in config


def test_a_command_line_without_model_or_dataset_names_the_word_that_was_meant():
    with pytest.raises(ConfigurationError, match=r"has no dataset=...; 'datset=...' is unknown"):
        select_early_options(["model=clipbert", "datset=msrvtt_qa"])
    with pytest.raises(ConfigurationError, match=r"has no model=..."):
        select_early_options(["dataset=msrvtt_qa"])
    early = select_early_options(["model=clipbert", "dataset=msrvtt_qa", "env={user_dir: /a}"])
    assert (early.model, early.datasets, early.config, early.env.user_dir) == (
        "clipbert",
        "msrvtt_qa",
        None,
        "/a",
    )


def test_each_option_keeps_its_text():
    (option,) = parse_options(["training.callbacks[0].params={a: 1}"])
    assert option.path == ["training", "callbacks", 0, "params"] and option.value == {"a": 1}
