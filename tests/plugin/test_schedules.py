"""The length of the run reaches the schedules that MMF builds."""

import pytest
import torch

pytest.importorskip("mmf")

from mmf.common.registry import registry

from clipbert_mmf.optim.schedules import DECAYS, compute_warmup_factor
from clipbert_mmf.plugin.schedules import announce_updates


def make_optimizer():
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 2.0}])


@pytest.mark.parametrize("decay", sorted(DECAYS))
def test_warm_up_is_a_share_of_the_updates_the_trainer_announced(decay):
    optimizer = make_optimizer()
    announce_updates(10)
    schedule = registry.get_scheduler_class(f"clipbert_warmup_{decay}")(optimizer, warmup_fraction=0.2)
    announce_updates(None)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    factors = [compute_warmup_factor(update, 10, 0.2, DECAYS[decay]) for update in range(10)]
    assert rates == pytest.approx([2 * factor for factor in factors])


def test_a_schedule_without_the_length_of_the_run_says_what_to_set():
    before = registry.get("config", None, no_warning=True)
    registry.register("config", None)
    try:
        with pytest.raises(ValueError, match=r"set training.max_updates, or scheduler.params.num_updates"):
            registry.get_scheduler_class("clipbert_warmup_linear")(make_optimizer())
    finally:
        registry.register("config", before)
