"""Losses by their properties."""

import pytest
import torch
import torch.nn.functional as F

from clipbert_mmf.scoring import objectives
from clipbert_mmf.scoring.answers import score_soft_answers
from clipbert_mmf.scoring.objectives import soft_answer_loss


def test_outputs_beyond_the_vocabulary_are_never_right_and_too_few_are_refused():
    targets, scores = torch.tensor([[1.0, 0.3], [0.0, 0.9]]), torch.tensor([[0.0, 1.0, 5.0], [0.0, 2.0, 1.0]])
    padded = torch.tensor([[1.0, 0.3, 0.0], [0.0, 0.9, 0.0]])
    assert torch.equal(soft_answer_loss(scores, targets), soft_answer_loss(scores, padded))
    torch.testing.assert_close(score_soft_answers(scores, targets), torch.tensor([0.0, 0.9]).double())
    with pytest.raises(ValueError, match="the model has 1 outputs and the answer vocabulary 2 answers"):
        soft_answer_loss(scores[:, :1], targets)


def test_unknown_answers_do_not_train():
    scores = torch.randn(3, 4, requires_grad=True)
    loss = objectives.answer_loss(scores, torch.tensor([[1], [-1], [2]]))
    torch.testing.assert_close(loss, F.cross_entropy(scores[[0, 2]], torch.tensor([1, 2])))
    loss.backward()
    assert (scores.grad[1] == 0).all()
    assert objectives.answer_loss(scores, torch.full((3, 1), -1)) == 0


def test_soft_answers_are_summed_over_answers_and_averaged_over_pairs():
    scores, targets = torch.randn(4, 6), torch.rand(2, 2, 6)
    expected = F.binary_cross_entropy_with_logits(scores, targets.view(4, 6)) * 6
    torch.testing.assert_close(objectives.soft_answer_loss(scores, targets), expected)


def test_hidden_tokens_are_counted_per_pair():
    labels = torch.tensor([[-100, 3, 5], [-100, -100, -100], [2, -100, 1]])
    right, total = objectives.count_tokens(F.one_hot(torch.tensor([3, 4, 2, 1]), 6).float(), labels)
    assert right.tolist() == [1, 0, 2] and total.tolist() == [2, 0, 2]


def test_a_batch_without_hidden_tokens_still_has_a_gradient_path():
    scores = torch.zeros(0, 7, requires_grad=True)
    loss = objectives.masked_token_loss(scores, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss == 0
