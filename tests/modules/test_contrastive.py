"""The contrastive head: unit vectors, and a scale that stays below its limit."""

import pytest
import torch

from clipbert_mmf.modules.contrastive import RowsHead


def test_texts_and_videos_become_unit_vectors_of_one_size():
    head = RowsHead(8, 6)
    texts, videos = head.project_texts(torch.randn(3, 8)), head.project_videos(torch.randn(2, 4, 5, 8))
    assert texts.shape == (3, 6) and videos.shape == (2, 6)
    for rows in (texts, videos):
        torch.testing.assert_close(rows.norm(dim=-1), torch.ones(len(rows)))


def test_clips_and_places_of_a_video_have_no_order():
    head, rows = RowsHead(8, 6), torch.randn(1, 3, 4, 8)
    torch.testing.assert_close(head.project_videos(rows), head.project_videos(rows.flip(1, 2)))


def test_the_scale_starts_as_in_clip_and_is_at_most_100():
    head = RowsHead(8, 6)
    assert head.scale.item() == pytest.approx(1 / 0.07)
    head.log_scale.data.fill_(50.0)
    assert head.scale.item() == pytest.approx(100.0)


def test_a_gradient_reaches_every_parameter():
    head = RowsHead(8, 6)
    products = head.project_texts(torch.randn(3, 8)) @ head.project_videos(torch.randn(3, 2, 2, 8)).T
    (head.scale * products).diagonal().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())
