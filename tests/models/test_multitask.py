"""One trunk and a head per dataset: which head a batch gets, what trains, what a configuration may say."""

import pytest
import torch

from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.network import HeadUse
from tests.network_settings import small_config

HEADS = {
    "films": {"type": "match", "fold": "max"},
    "quiz": {"type": "classify", "num_answers": 5},
    "options": {"type": "choose_by_match", "shares": "films"},
}


def build(**heads):
    torch.manual_seed(0)
    return build_network(
        small_config(
            backbone__depth="resnet18",
            backbone__norm="group",
            backbone__out_stage="res4",
            heads=heads or HEADS,
        )
    )


def make_batch():
    frames = torch.arange(2 * 2 * 3 * 64 * 64).remainder(251).to(torch.uint8).view(2, 2, 1, 3, 64, 64)
    input_ids = torch.arange(2 * 3 * 6).remainder(50).view(2, 3, 6)
    return frames, input_ids, torch.ones_like(input_ids), torch.zeros_like(input_ids)


def test_a_batch_gets_the_head_and_the_shape_of_its_dataset():
    network = build().eval()
    with torch.no_grad():
        scores = {name: network(*make_batch(), dataset=name)["scores"] for name in HEADS}
    assert {name: tuple(value.shape) for name, value in scores.items()} == {
        "films": (6, 2),
        "quiz": (6, 5),
        "options": (2, 3),
    }


def test_a_shared_head_gives_the_margins_of_the_one_it_shares():
    network = build(films={"type": "match"}, options={"type": "choose_by_match", "shares": "films"}).eval()
    with torch.no_grad():
        pairs, options = (
            network(*make_batch(), dataset=name)["clip_scores"] for name in ("films", "options")
        )
    assert torch.allclose((pairs[..., 1] - pairs[..., 0]).view(2, 3, 2).transpose(1, 2), options, atol=1e-6)
    assert not any(name.startswith("head.options.") for name, _ in network.named_parameters())


def test_the_fold_of_a_head_wins_over_the_models():
    network = build().eval()
    with torch.no_grad():
        output = network(*make_batch(), dataset="films")
    assert torch.equal(output["scores"], output["clip_scores"].amax(1))


def test_a_batch_trains_the_trunk_and_its_own_head():
    network = build().train()
    network(*make_batch(), dataset="quiz")["scores"].square().sum().backward()
    with_gradient = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert {name for name in with_gradient if name.startswith("head.")} == {
        name for name, _ in network.named_parameters() if name.startswith("head.quiz.")
    }
    assert any(name.startswith("backbone.") for name in with_gradient)


def test_only_texts_that_match_or_not_are_contrasted():
    torch.manual_seed(0)
    network = build_network(
        small_config(
            backbone__depth="resnet18",
            backbone__norm="group",
            backbone__out_stage="res4",
            heads=HEADS,
            contrastive={"weight": 0.1, "size": 4},
        )
    ).train()
    with_embeddings = [name for name in HEADS if "text_embeddings" in network(*make_batch(), dataset=name)]
    assert with_embeddings == ["films"]


def test_the_network_of_one_dataset_scores_with_the_same_modules():
    network = build().eval()
    films, quiz = network.select("films"), network.select("quiz")
    assert quiz.head is network.head["quiz"] and (films.fold, quiz.fold) == ("max", "lse")
    frames, *texts = (x if x.dim() > 3 else x.flatten(0, 1) for x in make_batch())
    with torch.no_grad():
        visual = quiz.encode_clips(frames)
        scores = quiz.score_clips(visual, torch.tensor([0, 0, 0, 1, 1, 1]), *texts)
        assert torch.equal(scores, network(*make_batch(), dataset="quiz")["clip_scores"])
    assert {name for name in quiz.state_dict() if name.startswith("head.")} == {
        name for name in network.state_dict() if name.startswith("head.quiz.")
    }


def test_a_network_of_one_head_serves_every_dataset():
    network = build_network(small_config())
    assert network.select("any").use == network.select().use == HeadUse()
    assert network.select("any").head is network.head


def test_a_batch_of_a_dataset_without_a_head_is_named():
    with pytest.raises(
        ValueError,
        match=r"dataset 'other', for which model_config.clipbert.heads has no head; it has \['films'",
    ):
        build()(*make_batch(), dataset="other")


@pytest.mark.parametrize(
    "heads, message",
    [
        ({"a": {"type": "guess"}}, "model_config.clipbert.heads.a.type is 'guess' .*; allowed are"),
        ({"a": {"type": "classify"}}, "heads.a.num_answers is empty; 'classify' needs the number of answers"),
        ({"a": {"type": "match", "colour": 1}}, r"heads\.a\.colour is unknown; allowed are fold"),
        ({"a": {"type": "match", "fold": "median"}}, "heads.a.fold is 'median' .*; allowed are"),
        (
            {"a": {"type": "match"}, "b": {"type": "match", "shares": "c"}},
            r"heads\.b\.shares is 'c'; allowed are a$",
        ),
        (
            {"a": {"type": "match"}, "b": {"type": "choose", "shares": "a"}},
            "heads.b.type is 'choose', but it shares the head of 'a'",
        ),
    ],
)
def test_wrong_heads_are_named(heads, message):
    with pytest.raises(ValueError, match=message):
        build(**heads)
