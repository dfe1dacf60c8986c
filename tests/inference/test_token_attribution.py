"""A token counts as much as the score loses without it."""

import pytest
import torch

from clipbert_mmf.inference.token_attribution import attribute_tokens

pytest.importorskip("captum", reason="captum is not installed: pip install captum")


def test_a_word_weighs_what_the_score_loses_without_it():
    """Scores that are sums over words, so that each word's share is known."""
    worth = torch.tensor([0.0, 2.0, -1.0, 0.5, 0.25])
    ids = torch.tensor([[3, 1, 2, 1, 4, 3]])
    weights = attribute_tokens(lambda rows: worth[rows].sum(1), ids, mask_id=0)
    assert weights.tolist() == [0.0, 2.0, -1.0, 2.0, 0.25, 0.0] and ids.tolist() == [[3, 1, 2, 1, 4, 3]]
