"""Masking and joining of texts."""

import numpy as np
import pytest
import torch

from clipbert_mmf.shapes import IGNORED_TOKEN
from clipbert_mmf.transforms.text import (
    join_question_and_option,
    mask_tokens,
    normalize_whitespace,
    simplify_text,
)

IDS = torch.arange(10, 10 + 4 * 50).reshape(4, 50)
ALL = torch.ones(4, 50, dtype=torch.bool)


def mask(seed=0, maskable=ALL, probability=0.15, ids=IDS):
    rng = np.random.default_rng(seed)
    return mask_tokens(ids, maskable, rng, mask_id=4, vocab_size=1000, probability=probability)


def test_labels_are_the_original_ids_where_something_is_predicted():
    hidden, labels = mask()
    predicted = labels != IGNORED_TOKEN
    assert predicted.any()
    assert torch.equal(labels[predicted], IDS[predicted])
    assert torch.equal(hidden[~predicted], IDS[~predicted])


def test_special_tokens_and_padding_are_never_chosen():
    maskable = ALL.clone()
    maskable[:, 0] = maskable[:, 30:] = False
    hidden, labels = mask(maskable=maskable, probability=1.0)
    assert torch.equal(hidden[:, 0], IDS[:, 0])
    assert (labels[~maskable] == IGNORED_TOKEN).all()
    assert (labels[maskable] != IGNORED_TOKEN).all()


def test_shares_are_80_10_10_of_15_percent():
    ids = torch.full((1, 200_000), 500)
    hidden, labels = mask(ids=ids, maskable=torch.ones_like(ids, dtype=torch.bool))
    chosen = labels != IGNORED_TOKEN
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.005)
    assert (hidden[chosen] == 4).float().mean().item() == pytest.approx(0.8, abs=0.01)
    # A random word hits the original one time in a thousand.
    assert (hidden[chosen] == 500).float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_the_same_generator_state_masks_the_same_tokens():
    assert all(torch.equal(a, b) for a, b in zip(mask(3), mask(3), strict=True))
    assert not torch.equal(mask(3)[1], mask(4)[1])


def test_input_is_not_changed():
    before = IDS.clone()
    mask(probability=1.0)
    assert torch.equal(IDS, before)


def test_probability_outside_zero_to_one_is_an_error():
    with pytest.raises(ValueError, match="probability is 15"):
        mask(probability=15)


def test_texts_with_equal_letters_are_equal_without_case_accents_and_marks():
    assert simplify_text("A Café, (NEW)!") == simplify_text("a cafe new") == "acafenew"
    assert simplify_text("Straße 7") == simplify_text("STRASSE 7") != simplify_text("strase 7")


def test_question_and_option_are_joined_with_single_blanks():
    assert join_question_and_option("  what does\n he ", " jump ") == "what does he jump"
    assert normalize_whitespace(" a  b\tc\n") == "a b c"
