"""Activation checkpointing changes memory, not results."""

import pytest
import torch

from clipbert_mmf.models.build import build_network
from clipbert_mmf.modules.activation_checkpointing import choose_rows_at_once, recompute_in_chunks
from tests.network_settings import small_config


def train_once(recompute, dropout, norm="frozen_batch", frames_per_chunk=2):
    torch.manual_seed(0)
    network = build_network(
        small_config(
            activation_checkpointing=recompute,
            transformer__dropout=dropout,
            backbone__norm=norm,
            backbone__frames_per_chunk=frames_per_chunk,
        )
    ).train()
    torch.manual_seed(1)
    frames = torch.randint(0, 256, (2, 3, 2, 3, 64, 64), dtype=torch.uint8)
    ids = torch.randint(5, 50, (2, 2, 9))
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = torch.nn.functional.cross_entropy(
            network(frames, ids, ids * 0 + 1, ids * 0)["scores"], torch.tensor([0, 1, 1, 0])
        )
    loss.backward()
    return (
        loss.detach(),
        {name: p.grad for name, p in network.named_parameters() if p.grad is not None},
        sum(kept),
    )


@pytest.mark.parametrize(
    "norm, dropout, frames_per_chunk",
    [
        ("frozen_batch", 0.0, 5),
        ("frozen_batch", 0.5, 12),
        ("group", 0.5, 1),
        ("batch", 0.0, 5),
    ],
)
def test_loss_and_gradients_are_the_same_and_less_is_kept(norm, dropout, frames_per_chunk):
    loss, gradients, kept = train_once(False, dropout, norm)
    other_loss, other_gradients, other_kept = train_once(True, dropout, norm, frames_per_chunk)
    torch.testing.assert_close(other_loss, loss, rtol=1e-6, atol=1e-7)
    assert gradients.keys() == other_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(other_gradients[name], gradient, rtol=1e-5, atol=1e-7)
    assert other_kept < 0.6 * kept


def test_training_recomputes_frames_and_layers_and_evaluation_nothing(monkeypatch):
    from clipbert_mmf.modules import activation_checkpointing as recomputing

    calls = []
    monkeypatch.setattr(
        recomputing, "checkpoint", lambda part, *inputs, **options: calls.append(part) or part(*inputs)
    )
    network = build_network(small_config(activation_checkpointing=True, backbone__frames_per_chunk=2))
    ids = torch.ones(1, 1, 5, dtype=torch.int64)
    frames = torch.zeros(1, 1, 3, 3, 64, 64, dtype=torch.uint8)
    network.eval()(frames, ids, ids, ids * 0)
    assert calls == []
    network.train()(frames, ids, ids, ids * 0)
    assert calls[:2] == [network.backbone._encode] * 2 and calls[2:] == list(network.encoder.layers[:-1])
    calls.clear()
    network.backbone.requires_grad_(False)
    network(frames, ids, ids, ids * 0)
    assert network.backbone._encode not in calls


def test_without_a_setting_a_card_recomputes_more_rows_at_once():
    assert choose_rows_at_once(torch.device("cpu")) == 2
    assert choose_rows_at_once(torch.device("cuda", 1)) == 64
    layer, rows, sizes = torch.nn.Linear(3, 4), torch.randn(5, 3), []

    def encode(part):
        sizes.append(len(part))
        return layer(part)

    found = [recompute_in_chunks(encode, rows, chunk, owner=layer) for chunk in (None, 64)]
    assert sizes == [2, 2, 1, 5]
    torch.testing.assert_close(found[0], found[1])
