"""A step in one pass is the same step, also after a checkpoint of another machine."""

import copy

import pytest
import torch
from torch import nn

from clipbert_mmf.optim.fused import fuse_step
from clipbert_mmf.training.sharding import clip_gradients, gather_optimizer_state, shard_optimizer_state


def make(settings=None, optimizer=torch.optim.AdamW):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(16, 2))
    model = model.to(memory_format=torch.channels_last)
    groups = [
        {"params": [model[0].weight], "lr": 0.1},
        {"params": list(model[2].parameters()), "weight_decay": 0.0},
    ]
    return model, optimizer(groups, **(settings or {}))


def train(model, optimizer, steps, start=0):
    for step in range(start, start + steps):
        torch.manual_seed(step)
        optimizer.zero_grad(set_to_none=True)
        model(torch.randn(6, 3, 4, 4)).square().mean().backward()
        optimizer.step()


def has_fused_step():
    try:
        return bool(torch.optim.AdamW([nn.Parameter(torch.zeros(1))], fused=True))
    except RuntimeError:
        return False


needs_fused_step = pytest.mark.skipif(
    not has_fused_step(), reason="PyTorch before 2.4 has no such step on a CPU"
)


@needs_fused_step
def test_a_fused_step_is_the_same_step():
    model, plain = make({"eps": 1e-6})
    other, optimizer = make({"eps": 1e-6})
    fused, settings = fuse_step(optimizer, {"eps": 1e-6})
    assert settings == {"eps": 1e-6, "fused": True} and all(group["fused"] for group in fused.param_groups)
    assert [group["lr"] for group in fused.param_groups] == [group["lr"] for group in plain.param_groups]
    train(model, plain, 4), train(other, fused, 4)
    for value, expected in zip(other.parameters(), model.parameters(), strict=False):
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "settings, kind",
    [
        ({"fused": False}, torch.optim.AdamW),
        ({"foreach": True}, torch.optim.AdamW),
        ({}, torch.optim.Adadelta),
    ],
)
def test_a_choice_made_or_none_to_make_leaves_the_optimizer(settings, kind):
    _, optimizer = make(settings, kind)
    assert fuse_step(optimizer, settings) == (optimizer, settings)


def test_numbers_without_a_fused_step_keep_the_optimizer():
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(2, dtype=torch.int64), requires_grad=False)])
    assert fuse_step(optimizer, {})[0] is optimizer


@needs_fused_step
def test_a_checkpoint_of_a_machine_without_it_goes_on_in_its_own_layout():
    """Moments that lie in memory otherwise than their weight would be added to the wrong numbers, silently."""
    model, plain = make()
    train(model, plain, 3)
    state = copy.deepcopy(gather_optimizer_state(plain))
    for values in state["state"].values():
        values.update({key: value.contiguous() for key, value in values.items()})
    other = copy.deepcopy(model)
    fused, _ = fuse_step(
        make()[1].__class__(
            [
                {"params": [other[0].weight], "lr": 0.1},
                {"params": list(other[2].parameters()), "weight_decay": 0.0},
            ]
        ),
        {},
    )
    fused.load_state_dict(shard_optimizer_state(fused, state))
    assert all(group["fused"] for group in fused.param_groups)
    train(model, plain, 3, start=3), train(other, fused, 3, start=3)
    for value, expected in zip(other.parameters(), model.parameters(), strict=False):
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_gradients_are_clipped_as_torch_clips_them(limit):
    model, optimizer = make()
    train(model, optimizer, 1)
    other = copy.deepcopy(model)
    for parameter, twin in zip(model.parameters(), other.parameters(), strict=False):
        twin.grad = parameter.grad.clone()
    found, expected = clip_gradients(model, limit), nn.utils.clip_grad_norm_(other.parameters(), limit)
    torch.testing.assert_close(found, expected)
    for parameter, twin in zip(model.parameters(), other.parameters(), strict=False):
        torch.testing.assert_close(parameter.grad, twin.grad)
