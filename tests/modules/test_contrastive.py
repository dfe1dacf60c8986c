"""The contrastive heads: unit vectors, a scale that stays below its limit, and scores that are joined."""

import pytest
import torch

from clipbert_mmf.modules.contrastive import RowsHead, TowersHead, average_words, normalize


def make_towers(size=20, joins_scores=False):
    torch.manual_seed(0)
    return TowersHead(12, 8, size, 16, 0.0, joins_scores)


def test_texts_and_videos_become_unit_vectors_of_one_size():
    head = RowsHead(8, 6)
    texts = head.project_texts(torch.randn(3, 5, 8), torch.ones(3, 5))
    videos = head.project_videos(torch.randn(2, 4, 5, 8))
    assert texts.shape == (3, 6) and videos.shape == (2, 6)
    for rows in (texts, videos):
        torch.testing.assert_close(rows.norm(dim=-1), torch.ones(len(rows)))


def test_clips_and_places_of_a_video_have_no_order():
    head, rows = RowsHead(8, 6), torch.randn(1, 3, 4, 8)
    torch.testing.assert_close(head.project_videos(rows), head.project_videos(rows.flip(1, 2)))


@pytest.mark.parametrize("head", [RowsHead(8, 6), make_towers()])
def test_the_scale_starts_as_in_clip_and_is_at_most_100(head):
    assert head.scale.item() == pytest.approx(1 / 0.07)
    head.log_scale.data.fill_(50.0)
    assert head.scale.item() == pytest.approx(100.0)


def test_a_gradient_reaches_every_parameter():
    head = RowsHead(8, 6)
    texts = head.project_texts(torch.randn(3, 1, 8), torch.ones(3, 1))
    products = texts @ head.project_videos(torch.randn(3, 2, 2, 8)).T
    (head.scale * products).diagonal().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_a_summary_travels_behind_the_visual_tokens_and_comes_back_whole():
    head, visual, features = make_towers(), torch.randn(2, 3, 5, 8), torch.randn(2, 3, 4, 12, 2, 2)
    carried = head.add_summary(visual, features)
    assert carried.shape == (2, 3, 5 + 3, 8)  # 20 values need three rows of 8
    tokens, summary = head.split_summary(carried)
    torch.testing.assert_close(tokens, visual)
    torch.testing.assert_close(summary, head.video(features.mean((2, 4, 5))))


def test_padding_does_not_change_the_mean_of_words():
    rows, mask = torch.randn(2, 4, 8), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    means = average_words(rows, mask)
    torch.testing.assert_close(means[0], rows[0, :2].mean(0))
    torch.testing.assert_close(means[1], rows[1].mean(0))


def test_a_joined_score_is_the_sum_of_both_and_zero_at_the_midpoint():
    head, texts, clips = make_towers(joins_scores=True), normalize(torch.randn(3, 20)), torch.randn(3, 2, 20)
    scores = torch.randn(3, 2, 2)
    joined = head.join(scores, clips, texts)
    dots = (normalize(clips) * texts[:, None]).sum(-1)
    margins = joined[..., 1] - joined[..., 0] - (scores[..., 1] - scores[..., 0])
    torch.testing.assert_close(margins, dots / 0.07)
    head.midpoint.data.fill_(float(dots[0, 0]))
    joined = head.join(scores, clips, texts)
    torch.testing.assert_close(joined[0, 0], scores[0, 0])
