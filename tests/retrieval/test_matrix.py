"""The score matrix of a small network, cut in shares and computed in parts, against the plain forward pass."""

import pytest
import torch

from clipbert_mmf.retrieval.matrix import PairScorer, list_blocks, score_blocks
from clipbert_mmf.scoring.ranking import match_margin
from tests.retrieval.small_matrix import CLIPS, TEXTS, VIDEOS, compute


def test_it_holds_the_scores_of_the_forward_pass(small):
    network, frames, _, tokens = small
    with torch.inference_mode():
        expected = network(frames, *(x.expand(VIDEOS, *x.shape) for x in tokens))["scores"].view(
            VIDEOS, TEXTS, 2
        )
    found = compute(small)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(match_margin(found).argsort(0), match_margin(expected).argsort(0))


@pytest.mark.parametrize("num_shares", [2, 3, 7, 40])
def test_however_it_is_cut_the_numbers_are_the_same_bit_for_bit(small, num_shares):
    assert torch.equal(compute(small, num_shares=num_shares), compute(small))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_is_not_computed_again_and_the_rest_is_the_same_bit_for_bit(small, seed):
    known = torch.rand(VIDEOS, TEXTS, generator=torch.Generator().manual_seed(seed)) < 0.7
    whole, rest = compute(small), compute(small, known, num_shares=2)
    computed = ~rest.isnan().any(-1)
    assert torch.equal(rest[computed], whole[computed]) and (computed | known).all() and not computed.all()


def test_an_unreadable_video_has_no_scores_and_counts_as_progress(small):
    network, _, _, tokens = small
    matrix, counted = compute(small, unreadable={1}), []
    assert matrix[1].isnan().all() and not matrix[[0, 2, 3, 4]].isnan().any()
    scorer = PairScorer(network, tokens, CLIPS)
    blocks = list_blocks(scorer, torch.zeros(VIDEOS, TEXTS, dtype=torch.bool))
    score_blocks(scorer, blocks, ((video, None) for video in range(VIDEOS)), None, count=counted.append)
    assert sum(counted) == VIDEOS * TEXTS
