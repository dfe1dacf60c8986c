"""Gradient scaling on a card: a step with an overflow is skipped, and training goes on."""

from __future__ import annotations

import torch

from clipbert_mmf.training.precision import Precision
from clipbert_mmf.training.sharding import clip_gradients


def test_a_step_with_an_overflow_is_skipped_and_the_next_one_counts(card):
    model = torch.nn.Linear(4, 1).to(card)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    precision = Precision("fp16", card)
    scaler = precision.make_scaler()
    x = torch.ones(2, 4, device=card)

    def step(factor):
        optimizer.zero_grad(set_to_none=True)
        with precision.autocast():
            loss = (model(x).float() * factor).mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = clip_gradients(model, 1.0)
        scaler.step(optimizer)
        scaler.update()
        return float(norm)

    step(1.0)
    before, scale = model.weight.detach().clone(), scaler.get_scale()
    assert not torch.isfinite(torch.tensor(step(1e38)))
    assert torch.equal(model.weight, before) and scaler.get_scale() == scale / 2
    step(1.0)
    assert model.weight.isfinite().all() and not torch.equal(model.weight, before)
    state = scaler.state_dict()
    again = precision.make_scaler()
    again.load_state_dict(state)
    assert again.get_scale() == scale / 2
