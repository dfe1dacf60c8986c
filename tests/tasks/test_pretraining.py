"""Captions are swapped and masked, and the generator alone decides how."""

import pytest
import torch

from clipbert_mmf.shapes import IGNORED_TOKEN
from tests.tasks.making import make, rng


def test_pretraining_swaps_half_and_masks_all_texts(encoder):
    maker = make("pretraining", False, encoder, texts_per_item=2)
    fields = [maker.make(item % len(maker), rng(item)) for item in range(1000)]
    matches = torch.stack([field["targets"] for field in fields]).float()
    assert matches.mean().item() == pytest.approx(0.5, abs=0.05)
    labels = torch.stack([field["lm_label_ids"] for field in fields])
    assert (labels != IGNORED_TOKEN).any(-1)[matches == 0].any()


def test_the_same_generator_gives_the_same_item(encoder):
    maker = make("pretraining", False, encoder)
    first, again, other = (maker.make(0, rng(seed)) for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("masks", [False, True])
def test_special_tokens_are_hidden_only_where_asked_and_padding_never(encoder, masks):
    maker = make("pretraining", False, encoder, mlm_probability=1.0, mask_special_tokens=masks)
    fields = maker.make(0, rng(0))
    hidden, mask = fields["lm_label_ids"] != IGNORED_TOKEN, fields["input_mask"] == 1
    assert bool(hidden[:, 0].all()) == masks
    assert not hidden[~mask].any() and (torch.equal(hidden, mask) == masks)
