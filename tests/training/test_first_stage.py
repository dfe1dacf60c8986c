"""The contrastive head fitted to frozen features: what an epoch passes over, and that it learns."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch

from clipbert_mmf.modules.contrastive import TowersHead, normalize
from clipbert_mmf.training.first_stage import _DRAWS, FrozenFeatures, fit_towers
from clipbert_mmf.training.options import FirstStageOptions

#: Texts of three media: 2, 1 and 3; the last medium has none.
MEDIUM_OF_TEXT = torch.tensor([0, 2, 0, 1, 2, 2])


@pytest.fixture
def features():
    torch.manual_seed(0)
    texts = torch.eye(6, 8)
    media = torch.stack([texts[medium == MEDIUM_OF_TEXT].sum(0) for medium in range(4)])[:, None]
    return FrozenFeatures(media, texts, MEDIUM_OF_TEXT, torch.arange(6)[:, None])


def test_each_text_is_drawn_once_with_its_medium(features):
    draw = _DRAWS["each"](features)
    assert draw.length == 6
    texts, words, media = draw(torch.arange(6))
    assert texts is not None and torch.equal(words[:, 0], torch.arange(6))
    assert torch.equal(media, MEDIUM_OF_TEXT)


def test_each_medium_is_drawn_once_with_one_of_its_texts(features):
    draw = _DRAWS["one"](features)
    assert draw.length == 3
    found = set()
    for _ in range(60):
        texts, words, media = draw(torch.arange(3))
        assert torch.equal(texts, features.texts[words[:, 0]])
        assert torch.equal(MEDIUM_OF_TEXT[words[:, 0]], media) and torch.equal(media, torch.arange(3))
        found.update(words[:, 0].tolist())
    assert found == set(range(6))


def test_a_random_mean_is_of_the_texts_of_the_medium(features):
    texts, words, media = _DRAWS["mixed"](features)(torch.tensor([2, 0, 1]))
    assert torch.equal(media, torch.tensor([2, 0, 1]))
    torch.testing.assert_close(texts.sum(1), torch.ones(3))
    own = torch.nn.functional.one_hot(MEDIUM_OF_TEXT, 4).T.float()[media]
    torch.testing.assert_close((texts[:, :6] * own).sum(1), torch.ones(3))
    assert torch.equal(texts.argmax(1), words[:, 0])


def autocast_to_bf16():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("texts", sorted(_DRAWS))
@pytest.mark.parametrize("members, autocast", [(1, nullcontext), (2, nullcontext), (2, autocast_to_bf16)])
def test_a_fitted_head_finds_the_medium_of_a_text(features, texts, members, autocast):
    head = TowersHead([8], 8, 8, 32, 0.0, True, num_members=members)
    options = FirstStageOptions(epochs=60, texts=texts, batch_size=6, lr=1e-2)
    fit_towers(head, features, options, torch.device("cpu"), autocast)
    found = normalize(head.text(features.texts)) @ normalize(head.video(features.media[:3, 0])).T
    assert torch.equal(found.argmax(1), MEDIUM_OF_TEXT)
    assert head.midpoint.item() != 0


@pytest.mark.parametrize("members", [1, 3])
def test_a_linear_member_finds_what_correlates_and_is_not_trained(members):
    torch.manual_seed(0)
    shared = torch.randn(60, 3)
    texts = shared @ torch.randn(3, 10) + 0.05 * torch.randn(60, 10) + 2
    media = (shared @ torch.randn(3, 12) + 0.05 * torch.randn(60, 12))[:, None]
    features = FrozenFeatures(media, texts, torch.arange(60), torch.arange(60)[:, None])
    head = TowersHead(
        [12],
        10,
        5 * members,
        8,
        0.0,
        False,
        num_members=members,
        inputs="standardized",
        has_linear_member=True,
    )
    fit_towers(head, features, FirstStageOptions(epochs=2, ridge=0.01), torch.device("cpu"))
    text, video = head.members[-1]
    found = normalize(text(texts)) @ normalize(video(media[:, 0])).T
    assert (found.argmax(1) == torch.arange(60)).float().mean() > 0.8
    correlations = torch.corrcoef(torch.cat([text(texts), video(media[:, 0])], 1).T.detach())[
        :5, 5:
    ].diagonal()
    assert correlations[:3].min() > 0.9 and correlations[3:].abs().max() < correlations[:3].min()
    whole = normalize(head.text(texts)) @ normalize(head.video(media[:, 0])).T
    if members == 3:
        others = [normalize(one(texts)) @ normalize(two(media[:, 0])).T for one, two in head.members[:2]]
        torch.testing.assert_close(whole, (sum(others) + 2 * found) / 4)


def test_a_loss_that_is_no_number_ends_the_fit(features):
    broken = dataclasses.replace(features, texts=features.texts * torch.nan)
    with pytest.raises(RuntimeError, match=r"training\.first_stage\.lr lower than 0\.001"):
        fit_towers(
            TowersHead([8], 8, 8, 8, 0.0, False), broken, FirstStageOptions(epochs=1), torch.device("cpu")
        )
