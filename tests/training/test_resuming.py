"""A resumed run follows its present settings, and says which of them are new."""

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, MultiStepLR, OneCycleLR, ReduceLROnPlateau

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.resuming import (
    Changes,
    continue_schedule,
    refuse_metric_schedule,
    use_current_groups,
)


def make_optimizer(rate=0.1, **settings):
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))], lr=rate, **settings)


def advance(optimizer, scheduler, num_updates):
    for _ in range(num_updates):
        optimizer.step()
        scheduler.step()
    return scheduler


def test_every_changed_setting_is_named_old_and_new(caplog):
    stored = {
        "optimizer": {"params": {"lr": 0.1, "betas": [0.9, 0.98]}},
        "training": {"seed": 1, "batch_size": 4},
    }
    current = {
        "optimizer": {"params": {"lr": 0.2, "betas": (0.9, 0.98), "fused": True}},
        "training": {"seed": 2, "batch_size": 8},
        "env": {"save_dir": "elsewhere"},
    }
    changes = Changes(stored, current)
    assert changes.values == {
        "optimizer.params.fused": ("unset", True),
        "optimizer.params.lr": (0.1, 0.2),
        "training.batch_size": (4, 8),
    }
    changes.log("current.ckpt")
    assert "since current.ckpt, the new ones are used: optimizer.params.fused unset -> True" in caplog.text
    assert (
        changes.touch("optimizer") and changes.touch("training.batch_size") and not changes.touch("scheduler")
    )
    assert not Changes(stored, stored).values and Changes(None, current).touch("scheduler")


def test_start_weights_are_said_to_be_unused(caplog):
    old, new = (
        {"model_config": {"clipbert": {"weights": {"backbone": name}}}} for name in ("a.pth", "b.pth")
    )
    Changes(old, new).log("current.ckpt")
    assert "model_config.clipbert.weights.backbone: not used" in caplog.text
    assert "new ones" not in caplog.text


def test_an_optimizer_with_another_kind_of_state_is_refused_with_what_to_type():
    old, new = ({"optimizer": {"type": name}} for name in ("AdamW", "SGD"))
    with pytest.raises(
        ConfigurationError, match=r"optimizer.type=AdamW to go on .*checkpoint.reset.optimizer=true"
    ):
        Changes(old, new).refuse_other_state("current.ckpt")


def test_groups_have_the_present_settings_and_the_stored_state(caplog):
    old = make_optimizer(weight_decay=0.1)
    old.param_groups[0]["params"][0].grad = torch.ones(2)
    old.step()
    new = make_optimizer(rate=0.3, weight_decay=0.2, betas=(0.5, 0.6))
    new.load_state_dict(use_current_groups(old.state_dict(), new))
    group = new.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.3, 0.2, (0.5, 0.6))
    assert torch.equal(next(iter(new.state.values()))["exp_avg"], next(iter(old.state.values()))["exp_avg"])
    assert "weight_decay 0.1 -> 0.2, lr 0.1 -> 0.3" in caplog.text


@pytest.mark.parametrize("build", [
    lambda optimizer: LambdaLR(optimizer, lambda update: 1 / (1 + update)),
    lambda optimizer: MultiStepLR(optimizer, milestones=[2, 4], gamma=0.5),
    lambda optimizer: ExponentialLR(optimizer, gamma=0.5),
])  # fmt: skip
def test_a_schedule_goes_on_with_another_rate(build):
    old = make_optimizer(0.1)
    stored = advance(old, build(old), 3)
    expected = make_optimizer(0.2)
    advance(expected, build(expected), 3)
    new = make_optimizer(0.2)
    continue_schedule(build(new), stored.state_dict(), [old.param_groups[0]["lr"]], 3, is_changed=True)
    assert new.param_groups[0]["lr"] == pytest.approx(expected.param_groups[0]["lr"])


def test_a_schedule_without_a_formula_goes_on_exactly_or_refuses_other_settings():
    def build(optimizer):
        return OneCycleLR(optimizer, max_lr=0.3, total_steps=20)

    old, new = make_optimizer(), make_optimizer()
    stored = advance(old, build(old), 5)
    rates, scheduler = [old.param_groups[0]["lr"]], build(new)
    continue_schedule(scheduler, stored.state_dict(), rates, 5, is_changed=False)
    assert new.param_groups[0]["lr"] == old.param_groups[0]["lr"]
    advance(old, stored, 1)
    advance(new, scheduler, 1)
    assert new.param_groups[0]["lr"] == old.param_groups[0]["lr"]
    with pytest.raises(ConfigurationError, match=r"OneCycleLR.*cannot start at update 5.*resume_pretrained"):
        continue_schedule(build(make_optimizer()), stored.state_dict(), rates, 5, is_changed=True)


def test_a_schedule_that_follows_a_metric_is_refused():
    with pytest.raises(ConfigurationError, match="scheduler.type is 'plateau'.*clipbert_warmup_linear"):
        refuse_metric_schedule(ReduceLROnPlateau(make_optimizer()), "plateau")
    refuse_metric_schedule(MultiStepLR(make_optimizer(), [1]), "multi_step")
