"""Folds, losses and ranks by their properties."""

import pytest
import torch
import torch.nn.functional as F

from clipbert_mmf.scoring import objectives
from clipbert_mmf.scoring.clips import FOLDS, fold_clips
from clipbert_mmf.scoring.ranking import rank_first_match, summarize_retrieval

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


def test_outputs_beyond_the_vocabulary_are_never_right_and_too_few_are_refused():
    from clipbert_mmf.scoring.answers import score_soft_answers
    from clipbert_mmf.scoring.objectives import soft_answer_loss

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


def test_words_are_counted_per_pair():
    labels = torch.tensor([[-100, 3, 5], [-100, -100, -100], [2, -100, 1]])
    right, total = objectives.count_words(F.one_hot(torch.tensor([3, 4, 2, 1]), 6).float(), labels)
    assert right.tolist() == [1, 0, 2] and total.tolist() == [2, 0, 2]


def test_a_batch_without_hidden_words_still_has_a_gradient_path():
    scores = torch.zeros(0, 7, requires_grad=True)
    loss = objectives.masked_word_loss(scores, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss == 0


def test_ranks_by_hand_with_ties_against_us():
    scores = torch.tensor([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    ranks, tied = rank_first_match(scores, torch.eye(3, dtype=torch.bool))
    assert ranks.tolist() == [1, 2, 3]
    assert tied.tolist() == [False, True, True]


def test_the_best_of_several_captions_counts():
    scores = torch.tensor([[1.0, 5.0, 3.0, 4.0]])
    ranks, _ = rank_first_match(scores, torch.tensor([[True, False, True, False]]))
    assert ranks.tolist() == [3]


def test_recall_grows_with_depth_and_perfect_scores_rank_first():
    matches = torch.eye(20, dtype=torch.bool)
    perfect, _ = summarize_retrieval(matches.float(), matches, torch.ones(20, dtype=torch.bool))
    assert perfect.recall == {1: 1.0, 5: 1.0, 10: 1.0} and perfect.median_rank == perfect.mean_rank == 1
    some, _ = summarize_retrieval(torch.randn(20, 20), matches, torch.ones(20, dtype=torch.bool))
    assert some.recall[1] <= some.recall[5] <= some.recall[10]


def test_an_unreadable_video_is_a_miss_in_both_directions():
    matches = torch.eye(4, dtype=torch.bool)
    readable = torch.tensor([True, True, False, True])
    text_to_video, video_to_text = summarize_retrieval(matches.float(), matches, readable)
    for summary in (text_to_video, video_to_text):
        assert summary.recall[1] == 0.75 and summary.mean_rank == (3 + 4) / 4


def test_a_query_without_an_answer_is_an_error():
    with pytest.raises(ValueError, match=r"queries \[1\] have no right answer"):
        rank_first_match(torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]))


def test_candidates_come_before_all_others_whatever_the_scores():
    scores = torch.tensor(
        [[0.1, 0.2, 9.0, 8.0], [0.1, 0.2, 9.0, 8.0], [0.5, 0.5, 9.0, 8.0], [0.1, 0.2, 9.0, 8.0]]
    )
    first = torch.tensor([[True, True, False, False]]).expand(4, 4)
    matches = torch.eye(4, dtype=torch.bool)
    ranks, tied = rank_first_match(scores, matches, first)
    assert ranks.tolist() == [2, 1, 3, 4] and not tied.any()
    both = torch.tensor(
        [[False, True, True, False]]
    )  # one answer among the candidates counts, whatever the other scores
    assert rank_first_match(scores[:1], both, first[:1])[0].tolist() == [1]
    assert rank_first_match(scores, matches, torch.ones_like(matches))[0].equal(
        rank_first_match(scores, matches)[0]
    )


def test_two_stages_rank_k_by_the_cross_encoder_and_the_rest_by_similarity():
    matches = torch.eye(3, dtype=torch.bool)
    similarity = torch.tensor([[3.0, 9.0, 5.0], [4.0, 8.0, 6.0], [5.0, 7.0, 4.0]])
    scores = torch.tensor([[1.0, 2.0, 0.0], [0.0, 7.0, 3.0], [2.0, 1.0, 0.0]])
    for_texts = torch.tensor([[False, True, False], [True, True, True], [True, False, True]])
    for_videos = torch.tensor([[False, True, True], [False, True, True], [True, True, False]])
    to_video, to_text = summarize_retrieval(
        scores, matches, torch.ones(3, dtype=torch.bool), (similarity, for_texts, for_videos)
    )
    # Text 0: videos 2, 1, then 0. Text 1: video 1. Text 2: video 1, then 2.
    assert to_video.mean_rank == pytest.approx((3 + 1 + 2) / 3)
    # Video 0: texts 1, 2, then 0. Video 1: text 1. Video 2: texts 0, 1, then 2.
    assert to_text.mean_rank == pytest.approx((3 + 1 + 3) / 3)
    unreadable = torch.tensor([True, False, True])
    missed, _ = summarize_retrieval(scores, matches, unreadable, (similarity, for_texts, for_videos))
    assert missed.mean_rank == pytest.approx((2 + 3 + 1) / 3)
