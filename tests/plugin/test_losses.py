"""Registered losses: what each reads from the batch and the output, and that gradients flow."""

import pytest
import torch
from mmf.common.registry import registry
from mmf.common.sample import SampleList

import clipbert_mmf.plugin.losses  # noqa: F401  registers


def batch(**fields) -> SampleList:
    samples = SampleList()
    for name, value in fields.items():
        samples[name] = value
    return samples


CASES = {
    "clipbert_match": ((4, 2), torch.tensor([[1, 0], [1, 0]])),
    "clipbert_itm": ((4, 2), torch.tensor([[1, 0], [0, 0]])),
    "clipbert_answer_ce": ((4, 3), torch.tensor([[2, -1], [0, 1]])),
    "clipbert_choice_ce": ((2, 5), torch.tensor([4, 0])),
    "clipbert_soft_bce": ((4, 3), torch.full((2, 2, 3), 0.3)),
    "clipbert_count_loss": ((2, 1), torch.tensor([[3.0], [5.0]])),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_loss_is_one_number_with_a_gradient(name):
    shape, targets = CASES[name]
    scores = torch.randn(shape, requires_grad=True)
    loss = registry.get_loss_class(name)()(batch(targets=targets), {"scores": scores})
    assert loss.dim() == 0 and torch.isfinite(loss)
    loss.backward()
    assert scores.grad.abs().sum() > 0


def test_hidden_words_come_from_the_output_alone():
    words = torch.zeros(3, 8, requires_grad=True)
    loss = registry.get_loss_class("clipbert_mlm")()(
        batch(targets=torch.tensor([[1]])), {"mlm_scores": words, "mlm_targets": torch.tensor([1, 2, 3])}
    )
    torch.testing.assert_close(loss, torch.tensor(8.0).log())


def test_half_precision_scores_are_lost_in_full_precision():
    scores = torch.randn(4, 2).bfloat16()
    loss = registry.get_loss_class("clipbert_match")()(
        batch(targets=torch.tensor([[1, 0], [1, 0]])), {"scores": scores}
    )
    assert loss.dtype == torch.float32


def test_no_loss_is_named_as_mmfs_compound_one():
    assert not any(name.startswith("multi") for name in CASES)
