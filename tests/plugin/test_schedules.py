"""Warm-up as a share of the run: the arithmetic, and that the run's length reaches the schedule."""

import pytest
import torch

pytest.importorskip("mmf")

from mmf.common.registry import registry

from clipbert_mmf.plugin.schedules import DECAYS, announce_updates, warmup_factor


def factors(num_updates, fraction, decay="linear"):
    return [warmup_factor(update, num_updates, fraction, DECAYS[decay]) for update in range(num_updates)]


def test_warm_up_reaches_the_full_rate_with_its_last_update():
    assert factors(20, 0.25)[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 15 / 16])


def test_linear_decay_falls_in_equal_steps_and_ends_one_step_above_zero():
    values = factors(20, 0.25)[4:]
    steps = [first - second for first, second in zip(values, values[1:])]
    assert steps == pytest.approx([1 / 16] * 15)
    assert values[-1] == pytest.approx(1 / 16)


def test_without_warm_up_the_first_update_runs_at_the_full_rate():
    assert factors(4, 0.0) == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_no_update_is_wasted_at_rate_zero():
    for decay in DECAYS:
        for num_updates in (1, 2, 3, 10, 37):
            for fraction in (0.0, 0.1, 0.5, 1.0):
                assert min(factors(num_updates, fraction, decay)) > 0


def test_warm_up_is_a_share_of_the_updates_the_trainer_announced():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [parameter], "lr": 2.0}])
    announce_updates(10)
    schedule = registry.get_scheduler_class("clipbert_warmup_linear")(optimizer, warmup_fraction=0.2)
    announce_updates(None)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([2 * factor for factor in factors(10, 0.2)])


def test_a_warm_up_of_several_runs_is_refused():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match="warmup_fraction is 1000; it must be between 0 and 1"):
        registry.get_scheduler_class("clipbert_warmup_cosine")(optimizer, warmup_fraction=1000, num_updates=5)
