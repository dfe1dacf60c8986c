"""Folds of clips by their properties."""

import pytest
import torch
import torch.nn.functional as F

from clipbert_mmf.scoring.clips import FOLDS, fold_clips, match_times, register_fold

LOGITS = torch.linspace(-3, 3, 4 * 5 * 3).sin().view(4, 5, 3) * 4


@pytest.mark.parametrize("how", sorted(FOLDS))
def test_fold_of_one_clip_is_the_clip(how):
    torch.testing.assert_close(fold_clips(LOGITS[:, :1], how), LOGITS[:, 0])


@pytest.mark.parametrize("how", sorted(FOLDS))
def test_the_order_of_clips_does_not_matter(how):
    torch.testing.assert_close(fold_clips(LOGITS.flip(1), how), fold_clips(LOGITS, how))


def test_cross_entropy_of_lse_is_the_papers_equation_6_in_value_and_gradient():
    ours, written = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    targets = torch.tensor([0, 2, 1, 1])
    loss = F.cross_entropy(fold_clips(ours, "lse"), targets)
    exponentials = written.exp().sum(1)
    probability = exponentials / exponentials.sum(1, keepdim=True)
    equation = -probability[torch.arange(4), targets].log().mean()
    torch.testing.assert_close(loss, equation)
    loss.backward()
    equation.backward()
    torch.testing.assert_close(ours.grad, written.grad)


def test_an_unknown_fold_and_a_wrong_shape_are_named():
    with pytest.raises(ValueError, match=r"fold is 'median'; allowed are \['lse', 'max', 'mean', 'sum'\]"):
        fold_clips(LOGITS, "median")
    with pytest.raises(ValueError, match=r"shape \(4, 5\)"):
        fold_clips(LOGITS[..., 0], "lse")


def test_a_registered_fold_is_used_and_its_name_is_taken():
    register_fold("first_of_test", _take_first)
    try:
        assert torch.equal(fold_clips(LOGITS, "first_of_test"), LOGITS[:, 0])
        register_fold("first_of_test", _take_first)
        with pytest.raises(ValueError, match="first_of_test"):
            register_fold("first_of_test", FOLDS["mean"])
    finally:
        del FOLDS["first_of_test"]


def _take_first(clip_logits):
    return clip_logits[:, 0]


def test_rows_of_clips_read_together_are_about_the_whole_span():
    times = [(0.0, 1.0), (2.5, 3.5)]
    assert (
        match_times(times, 2) == times and match_times(times, 1) == [(0.0, 3.5)] and match_times([], 1) == []
    )
