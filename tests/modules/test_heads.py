"""Heads say what they can be asked; the registry refuses what cannot be."""

import pytest

from clipbert_mmf.modules.heads import HEADS, HeadKind, find_head, list_heads, register_head


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
