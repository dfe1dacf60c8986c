"""Ranks by hand and by their properties."""

import pytest
import torch

from clipbert_mmf.scoring.ranking import match_margin, rank_first_match, rate_options, summarize_retrieval


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
    with pytest.raises(ValueError, match=r"queries \[1\] have no correct candidate"):
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


def test_options_are_rated_by_their_only_output_or_by_yes_minus_no():
    logits = torch.tensor([[1.0, 4.0], [3.0, 2.0]])
    assert match_margin(logits).tolist() == [3.0, -1.0] == rate_options(logits).tolist()
    assert rate_options(logits[:, :1]).tolist() == [1.0, 3.0]
