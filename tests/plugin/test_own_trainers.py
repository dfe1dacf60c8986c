"""What MMF's own trainer cannot do with a run of ours is refused at start, or told, with what to type."""

import logging
import pickle

import pytest

pytest.importorskip("mmf")

import torch
from mmf.common.registry import registry
from mmf.utils.configuration import get_default_config_path, load_yaml
from omegaconf import OmegaConf

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.host.mmf_version import mmf_version
from clipbert_mmf.paths import config_dir
from clipbert_mmf.plugin.own_trainers import (
    LIMITS,
    Setting,
    check_own_trainer,
    follow_present_schedule,
    follow_present_settings,
)
from clipbert_mmf.plugin.trainer_options import parse_run_options

RELEASE = mmf_version() == "release"
OWN_TRAINER = "base_trainer" if RELEASE else "mmf"


def make_config(*options, model="clipbert", datasets="msrvtt_retrieval"):
    defaults, own = (
        load_yaml(str(path))
        for path in (get_default_config_path(), config_dir() / "training" / "clipbert.yaml")
    )
    run = {
        "model": model,
        "datasets": datasets,
        "run_type": "train_val_test",
        "training": {"trainer": OWN_TRAINER, "max_updates": 4},
        "optimizer": {"params": {"lr": 0.1}},
    }
    return OmegaConf.merge(defaults, own, OmegaConf.create(run), OmegaConf.from_dotlist(list(options)))


def test_a_run_that_it_can_do_passes():
    check_own_trainer(make_config())


@pytest.mark.parametrize(
    "option, instead",
    [
        ("training.precision=bf16", "training.precision=fp32"),
        ("training.update_frequency=2", "training.update_frequency=1"),
        ("training.sharding=full", "training.sharding=none"),
        ("training.gradient_reduction=bf16", "training.gradient_reduction=fp32"),
        ("training.max_updates=null", "training.max_updates=<updates>"),
        ("training.log_interval=0", "training.log_interval=1000000"),
        ("training.evaluation_interval=null", "training.evaluation_interval=1000000"),
        ("training.checkpoint_interval=0", "training.checkpoint_interval=1000000"),
        ("training.clip_norm_mode=question", "training.clip_norm_mode=all"),
        ("evaluation.rerank_top_k=5", "evaluation.rerank_top_k=null"),
        ("evaluation.score_store=scores", "evaluation.score_store=null"),
        ("checkpoint.resume_best=true", "checkpoint.resume=true"),
    ],
)
def test_an_option_that_it_would_ignore_or_fail_on_is_refused(option, instead):
    key = option.partition("=")[0]
    with pytest.raises(ConfigurationError) as caught:
        check_own_trainer(make_config(option))
    message = str(caught.value)
    assert f"training.trainer={OWN_TRAINER} is MMF's own trainer" in message
    assert f"{key}: " in message and instead in message and "training.trainer=clipbert" in message


@pytest.mark.skipif(not RELEASE, reason="main can do these")
@pytest.mark.parametrize(
    "options", [["training.fp16=true"], ["training.batch_size_per_device=2"], ["training.max_epochs=3"]]
)
def test_an_option_that_only_the_release_ignores_is_refused(options):
    with pytest.raises(ConfigurationError, match=options[0].partition("=")[0]):
        check_own_trainer(make_config(*options))


@pytest.mark.parametrize("options", [["training.precision=bf16", "training.sharding=optimizer"]])
def test_all_such_options_are_in_one_message(options):
    with pytest.raises(
        ConfigurationError,
        match=r"training.precision: .*training.sharding: .*training.precision=fp32 training.sharding",
    ):
        check_own_trainer(make_config(*options))


def test_weights_alone_of_another_run_are_asked_for_by_another_key():
    options = ["checkpoint.resume_file=other.ckpt", "checkpoint.resume_pretrained=true"]
    with pytest.raises(ConfigurationError, match=r"model_config.clipbert.weights.clipbert=<checkpoint>"):
        check_own_trainer(make_config(*options))
    check_own_trainer(make_config(*options, "run_type=test"))


def test_several_datasets_are_measured_by_main_only():
    config = make_config(datasets="msrvtt_retrieval,msrvtt_qa")
    if RELEASE:
        with pytest.raises(
            ConfigurationError, match="several datasets: it measures all of them as if they were one"
        ):
            check_own_trainer(config)
    else:
        check_own_trainer(config)
    check_own_trainer(OmegaConf.merge(config, {"run_type": "test", "evaluation": {"predict": True}}))


@pytest.mark.skipif(RELEASE, reason="the release has no ratios")
def test_ratios_in_another_order_than_the_datasets_are_refused():
    ratios = {
        "multitasking": {
            "type": "ratios",
            "params": {"sampling_ratios": {"msrvtt_qa": 1, "msrvtt_retrieval": 2}},
        }
    }
    config = OmegaConf.merge(make_config(datasets="msrvtt_retrieval,msrvtt_qa"), ratios)
    with pytest.raises(ConfigurationError, match="in the order of dataset="):
        check_own_trainer(config)
    config.datasets = "msrvtt_qa,msrvtt_retrieval"
    check_own_trainer(config)


@pytest.mark.parametrize(
    "has_gpu, options, message",
    [(False, [], "several processes"), (True, ["training.device=cpu"], "training.device")],
)
def test_a_device_that_it_would_not_use_is_refused(has_gpu, options, message):
    config = make_config(*options)
    setting = Setting(parse_run_options(config), ["msrvtt_qa"], is_joined=not has_gpu, has_gpu=has_gpu)
    found = [limit.message for limit in LIMITS if mmf_version() in limit.versions and limit.applies(setting)]
    assert len(found) == 1 and found[0].startswith(message)


def test_keys_that_change_no_number_are_named_in_the_log(caplog):
    with caplog.at_level(logging.WARNING, "clipbert_mmf"):
        check_own_trainer(make_config("training.prefetch_factor=4", "checkpoint.max_to_keep=3"))
    assert "does not read" in caplog.text and "training.prefetch_factor=4" in caplog.text
    assert ("checkpoint.max_to_keep=3" in caplog.text) == RELEASE


def test_a_resumed_run_follows_its_present_settings(caplog):
    def make(lr):
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=lr)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: 1 / (1 + update))
        return optimizer, scheduler

    optimizer, scheduler = make(1.0)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    state, place = optimizer.state_dict(), scheduler.state_dict()
    resumed, schedule = make(4.0)
    follow_present_settings(resumed)
    with caplog.at_level(logging.WARNING, "clipbert_mmf"), follow_present_schedule(schedule):
        resumed.load_state_dict(state)
        schedule.load_state_dict(place)
    assert resumed.param_groups[0]["lr"] == schedule.get_last_lr()[0] == 4.0 / 4
    assert "lr 1.0 -> 4.0" in caplog.text
    pickle.dumps((resumed.state_dict(), schedule.state_dict()["last_epoch"]))
    assert "load_state_dict" not in schedule.state_dict()


def test_a_schedule_that_is_made_after_loading_follows_them_too():
    optimizers = [torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=lr) for lr in (1.0, 4.0)]
    torch.optim.lr_scheduler.LambdaLR(optimizers[0], lambda update: 0.5)
    follow_present_settings(optimizers[1])
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizers[1], lambda update: 0.5)
    assert schedule.get_last_lr() == [2.0]


def test_runs_without_anything_of_ours_are_left_alone():
    check_own_trainer(make_config("training.precision=bf16", model="mmbt", datasets="hateful_memes"))
    with pytest.raises(ConfigurationError):
        check_own_trainer(make_config("training.precision=bf16", model="mmbt", datasets="msrvtt_qa"))


def test_mmfs_own_names_stand_for_the_checked_trainers():
    assert registry.get_trainer_class(OWN_TRAINER).__module__.startswith("clipbert_mmf")


@pytest.mark.skipif(RELEASE, reason="the release has no Lightning trainer")
def test_the_lightning_trainer_is_refused():
    with pytest.raises(ConfigurationError, match="training.trainer=lightning needs PyTorch Lightning 1.6"):
        registry.get_trainer_class("lightning")(make_config())
