"""Scores of answers by hand."""

import torch

from clipbert_mmf.scoring.answers import (
    round_counts,
    score_classes,
    score_counts,
    score_soft_answers,
    square_count_errors,
)


def test_an_answer_outside_the_vocabulary_is_never_right():
    assert score_classes(torch.eye(3), torch.tensor([0, 2, -1])).tolist() == [1.0, 0.0, 0.0]


def test_a_soft_answer_scores_what_the_highest_logit_gets():
    targets = torch.tensor([[0.25, 1.0], [0.5, 0.0]])
    assert score_soft_answers(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), targets).tolist() == [0.25, 0.5]


def test_counts_are_rounded_and_kept_in_range():
    outputs = torch.tensor([[0.2], [2.6], [14.0]])
    assert round_counts(outputs).tolist() == [1, 3, 10]
    assert score_counts(outputs, torch.tensor([1, 2, 10])).tolist() == [1.0, 0.0, 1.0]


def test_an_unreadable_count_has_the_largest_possible_error():
    errors = square_count_errors(
        torch.full((3, 1), 5.0), torch.tensor([5, 2, 9]), torch.tensor([1, 0, 0]).bool()
    )
    assert errors.tolist() == [0, 8**2, 8**2]
