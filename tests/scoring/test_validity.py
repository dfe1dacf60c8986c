"""Scores that no result may follow from are refused, with the name of the first item."""

import pytest
import torch

from clipbert_mmf.scoring.validity import ScoresError, check_items, check_scores


def test_finite_scores_pass_and_the_first_row_that_is_not_is_named():
    scores = torch.zeros(4, 2)
    assert check_scores(scores, 4, str) is scores
    scores[2, 1], scores[3, 0] = torch.nan, torch.inf
    with pytest.raises(ScoresError, match="gives nan for row 2; expected finite scores"):
        check_scores(scores, 4, lambda row: f"row {row}")
    with pytest.raises(ScoresError, match="gives inf for row 3"):
        check_scores(scores, 4, lambda row: f"row {row}", counted=torch.tensor([1, 1, 0, 1]))
    check_scores(scores, 4, str, counted=torch.tensor([True, True, False, False]))


def test_another_number_of_rows_is_refused():
    with pytest.raises(ScoresError, match="gives 3 rows of scores; expected 4"):
        check_scores(torch.zeros(3, 2), 4, str)


@pytest.mark.parametrize(
    "items, message",
    [
        ([0, 1, 1, 2], "item 1 has scores 2 times"),
        ([0, 2], "item 1 has no scores, nor have 0 others; expected scores of 3 items"),
        ([0, 1, 2, 3], "scores of item 3; the split has 3 items"),
        ([], "item 0 has no scores, nor have 2 others"),
    ],
)
def test_each_item_is_there_once(items, message):
    check_items([2, 0, 1], 3, str)
    with pytest.raises(ScoresError, match=message):
        check_items(items, 3, lambda item: f"item {item}")
