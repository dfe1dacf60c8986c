"""Heads say what they can be asked; the registry refuses what cannot be."""

import pytest
import torch
from torch import nn

from clipbert_mmf.modules.heads import (
    HEADS,
    HeadKind,
    PairHead,
    PretrainHead,
    RegressHead,
    find_head,
    guess_head,
    list_heads,
    register_head,
)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_outputs_suit_what_a_head_can_be_asked(name):
    kind = HEADS[name]
    suits = {"score": kind.num_outputs == 2, "choose": kind.num_outputs in (1, 2)}
    suits |= {"answer": kind.num_outputs is None, "count": kind.num_outputs == 1}
    assert kind.asks and all(suits[ability] for ability in kind.asks)


def test_heads_are_listed_by_ability():
    assert list_heads("answer") == ["classify"] and set(list_heads("score")) == {
        "match",
        "pretrain",
        "choose_by_match",
    }


def test_an_unknown_head_is_named_with_the_nearest_and_with_how_ones_own_becomes_known():
    with pytest.raises(
        ValueError, match=r"head is 'mach' \(did you mean 'match'\?\); known are .*--user-dir"
    ):
        find_head("mach")


def test_an_ability_that_nobody_knows_is_refused():
    with pytest.raises(
        ValueError, match=r"head 'x' asks \['sing'\]; allowed are score, answer, choose, count"
    ):
        register_head("x", HeadKind(1, asks=("sing",)))
    assert "x" not in HEADS


def test_a_pair_head_scores_every_pair_and_a_gradient_reaches_it():
    head = PairHead(8, 3).eval()
    scores = head(torch.randn(5, 8))
    assert scores.shape == (5, 3)
    scores.sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_a_regress_head_starts_at_the_mean_of_the_answers():
    head = RegressHead(8, 1, mean=5.0, std=2.0).eval()
    nn.init.zeros_(head.output.weight), nn.init.zeros_(head.output.bias)
    assert torch.equal(head(torch.randn(4, 8)), torch.full((4, 1), 5.0))
    with pytest.raises(ValueError, match="std of a regress head is 0"):
        RegressHead(8, 1, std=0)


def test_the_pre_training_head_shares_the_word_embeddings():
    words = nn.Embedding(11, 8)
    head = PretrainHead(8, words)
    assert head.decoder.weight is words.weight
    assert head.score_words(torch.randn(2, 4, 8)).shape == (2, 4, 11)
    assert head(torch.randn(3, 8)).shape == (3, 2)


def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="a head 'match' is registered already"):
        register_head("match", HeadKind(3))


def test_a_head_is_guessed_from_its_outputs():
    assert [guess_head(outputs) for outputs in (1, 2, 1500)] == ["choose", "match", "classify"]
    assert guess_head(2, predicts_words=True) == "pretrain"
