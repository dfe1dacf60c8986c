"""Warm-up is a share of the run, and no update runs at rate zero."""

import itertools

import pytest
import torch

from clipbert_mmf.optim.schedules import DECAYS, compute_warmup_factor, make_warmup_schedule


def factors(num_updates, fraction, decay="linear"):
    return [
        compute_warmup_factor(update, num_updates, fraction, DECAYS[decay]) for update in range(num_updates)
    ]


def test_warm_up_reaches_the_full_rate_with_its_last_update():
    assert factors(20, 0.25)[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 15 / 16])


def test_linear_decay_falls_in_equal_steps_and_ends_one_step_above_zero():
    values = factors(20, 0.25)[4:]
    steps = [first - second for first, second in itertools.pairwise(values)]
    assert steps == pytest.approx([1 / 16] * 15)
    assert values[-1] == pytest.approx(1 / 16)


def test_without_warm_up_the_first_update_runs_at_the_full_rate():
    assert factors(4, 0.0) == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_no_update_is_wasted_at_rate_zero():
    for decay in DECAYS:
        for num_updates in (1, 2, 3, 10, 37):
            for fraction in (0.0, 0.1, 0.5, 1.0):
                assert min(factors(num_updates, fraction, decay)) > 0


def test_every_group_keeps_its_own_rate_as_the_maximum():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 3.0)]
    optimizer = torch.optim.SGD(groups)
    schedule = make_warmup_schedule(optimizer, "constant", num_updates=4, warmup_fraction=0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1.5]
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 3.0]


def test_a_warm_up_of_several_runs_is_refused():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match="warmup_fraction is 1000; it must be between 0 and 1"):
        make_warmup_schedule(optimizer, "cosine", num_updates=5, warmup_fraction=1000)
