"""The loss of a match among its own negatives."""

import pytest
import torch

from clipbert_mmf.scoring.objectives import rank_loss


def test_each_match_is_compared_with_its_own_negatives_of_both_kinds():
    # Two matches, two negatives of each kind: margins by hand.
    own, videos, texts = [2.0, 0.5], [[1.0, 0.0], [0.5, -1.0]], [[3.0, 0.0], [0.0, 0.0]]
    margins = torch.tensor([*own, *videos[0], *videos[1], *texts[0], *texts[1]])
    scores = torch.stack([torch.zeros(10), margins], 1)
    targets = torch.tensor([1, 1, *[0] * 8])
    expected = []
    for match in range(2):
        for others in (videos[match], texts[match]):
            group = torch.tensor([own[match], *others])
            expected.append(-group.log_softmax(0)[0])
    assert rank_loss(scores, targets).item() == pytest.approx(torch.stack(expected).mean().item())


def test_without_negatives_it_is_zero_and_has_a_gradient():
    scores = torch.randn(2, 2, requires_grad=True)
    loss = rank_loss(scores, torch.ones(2, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0 and torch.equal(scores.grad, torch.zeros(2, 2))


def test_in_evaluation_a_match_is_compared_with_the_wrong_texts_of_its_video():
    margins = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    scores = torch.stack([torch.zeros(6), margins.flatten()], 1)
    targets = torch.tensor([[1, 1, 0], [0, 0, 1]])
    expected = [
        -torch.tensor([2.0, 0.0]).log_softmax(0)[0],
        -torch.tensor([1.0, 0.0]).log_softmax(0)[0],
        -torch.tensor([3.0, 0.0, 1.0]).log_softmax(0)[0],
    ]
    assert rank_loss(scores, targets).item() == pytest.approx(torch.stack(expected).mean().item())
