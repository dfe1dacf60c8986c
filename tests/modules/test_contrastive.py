"""The contrastive heads: unit vectors, a scale that stays below its limit, and scores that are joined."""

import pytest
import torch

from clipbert_mmf.modules.contrastive import RowsHead, TowersHead, average_words, normalize


def make_towers(size=20, joins_scores=False):
    torch.manual_seed(0)
    return TowersHead([12], 8, size, 16, 0.0, joins_scores)


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


def test_a_dot_product_of_members_is_the_mean_of_theirs():
    head = TowersHead([12], 8, 6, 16, 0.0, False, num_members=2)
    texts, videos = torch.randn(3, 8), torch.randn(2, 12)
    whole = normalize(head.text(texts)) @ normalize(head.video(videos)).T
    own = [
        normalize(text(texts)) @ normalize(video(videos)).T
        for text, video in zip(head.text, head.video, strict=True)
    ]
    torch.testing.assert_close(whole, torch.stack(own).mean(0))


def test_inputs_and_layers_between_drop_their_own_shares():
    tower = TowersHead([12], 8, 6, 16, 0.4, False, input_dropout=0.1).video
    assert [layer.p for layer in tower if isinstance(layer, torch.nn.Dropout)] == [0.1, 0.4]


def test_standardized_inputs_have_mean_0_and_deviation_1_over_what_they_were_fitted_to():
    head = TowersHead([12], 8, 6, 16, 0.0, False, num_members=2, inputs="standardized")
    texts, media = torch.randn(50, 8) + 3, torch.randn(20, 2, 12).relu() ** 4
    head.standardize_inputs(texts, media)
    for tower, rows in ((head.text, texts), (head.video, media)):
        for member in tower:
            seen = member[0](rows).flatten(0, -2)
            torch.testing.assert_close(seen.mean(0), torch.zeros(seen.shape[1]), atol=1e-4, rtol=0)
            torch.testing.assert_close(seen.std(0, correction=0), torch.ones(seen.shape[1]))
    other = TowersHead([12], 8, 6, 16, 0.0, False, num_members=2, inputs="standardized")
    other.load_state_dict(head.state_dict())
    torch.testing.assert_close(other.video(media), head.video(media))


def test_roots_of_features_are_finite_and_have_finite_gradients_at_0():
    head = TowersHead([12], 8, 6, 16, 0.0, False, inputs="standardized")
    head.standardize_inputs(torch.randn(3, 8), torch.zeros(4, 1, 12))
    rows = torch.zeros(2, 12, requires_grad=True)
    head.video(rows).sum().backward()
    assert rows.grad.isfinite().all()


def test_layers_side_by_side_have_unit_length_each_and_roots_only_without_negative_values():
    head = TowersHead([3, 2], 4, 6, 16, 0.0, False, inputs="standardized", text_layers=[0, 2])
    activations, linear = torch.rand(20, 1, 3) ** 2, torch.randn(20, 1, 2)
    media, texts = torch.cat([activations, linear], -1), torch.randn(20, 8)
    head.standardize_inputs(texts, media)
    seen = head.video[0]
    assert seen.takes_root.tolist() == [True] * 3 + [False] * 2
    back = head.video[0](media) * seen.deviation + seen.mean
    torch.testing.assert_close(back[..., 3:], normalize(linear))
    torch.testing.assert_close(back[..., :3], normalize(activations.sqrt()), atol=0.02, rtol=0)
    back = head.text[0](texts) * head.text[0].deviation + head.text[0].mean
    torch.testing.assert_close(back, torch.cat([normalize(texts[:, :4]), normalize(texts[:, 4:])], -1))


def test_a_linear_member_reads_each_layer_with_deviation_1_in_all():
    head = TowersHead(
        [3, 2], 4, 6, 16, 0.0, False, num_members=2, inputs="standardized", has_linear_member=True
    )
    media = torch.cat([torch.rand(50, 1, 3), 100 * torch.randn(50, 1, 2)], -1)
    head.standardize_inputs(torch.randn(50, 4), media)
    deviations = head.video[-1][0](media).flatten(0, 1).std(0, correction=0)
    for block in deviations.split([3, 2]):
        torch.testing.assert_close(block.norm(), torch.tensor(1.0))
    assert deviations.unique().numel() == 5
