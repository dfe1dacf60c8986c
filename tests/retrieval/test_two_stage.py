"""Two-stage retrieval of a small network against the exact result."""

import pytest
import torch

from clipbert_mmf.retrieval.matrix import PairScorer
from clipbert_mmf.retrieval.two_stage import choose_candidates, compare_embeddings
from clipbert_mmf.scoring.ranking import match_margin, summarize_retrieval
from tests.retrieval.small_matrix import CLIPS, TEXTS, VIDEOS, compute


def compare(small):
    network, _, visual, tokens = small
    with torch.inference_mode():
        texts = PairScorer(network, tokens, CLIPS).embed_texts()
        videos = torch.cat([network.embed_videos(one) for one in visual])
    return compare_embeddings(videos, texts, torch.ones(VIDEOS))


def test_the_similarity_is_that_of_the_embeddings(small):
    network, _, visual, tokens = small
    with torch.inference_mode():
        expected = network.embed_videos(visual[2]) @ network.embed_texts(*(x[4:5] for x in tokens)).T
    torch.testing.assert_close(compare(small)[2, 4:5], expected[0], rtol=1e-4, atol=1e-5)


def test_k_candidates_of_each_query_are_chosen_both_ways():
    similarity = torch.tensor([[3.0, 1.0, 2.0], [2.0, 4.0, 2.0], [1.0, 1.0, 2.0], [-torch.inf] * 3])
    for_texts, for_videos = choose_candidates(similarity, 1)
    assert for_texts.nonzero().tolist() == [[0, 0], [0, 2], [1, 1]]  # of equal ones the first
    assert for_videos.nonzero().tolist() == [[0, 0], [1, 1], [2, 2]]
    everything, other = choose_candidates(similarity, 10)
    assert everything[:3].all() and other[:3].all() and not everything[3].any() and not other[3].any()
    with pytest.raises(ValueError, match="rerank_top_k is -1; expected at least 0"):
        choose_candidates(similarity, -1)


MATCHES = torch.zeros(VIDEOS, TEXTS, dtype=torch.bool)
MATCHES[torch.arange(TEXTS) % VIDEOS, torch.arange(TEXTS)] = True
READABLE = torch.ones(VIDEOS, dtype=torch.bool)


@pytest.mark.parametrize("num_shares", [1, 3])
def test_with_k_of_all_it_is_the_exact_result(small, num_shares):
    similarity = compare(small)
    for_texts, for_videos = choose_candidates(similarity, TEXTS)
    scores = compute(small, chosen=for_texts | for_videos, num_shares=num_shares)
    exact = compute(small)
    assert torch.equal(scores, exact)
    candidates = (similarity, for_texts, for_videos)
    assert summarize_retrieval(match_margin(scores), MATCHES, READABLE, candidates) == summarize_retrieval(
        match_margin(exact), MATCHES, READABLE
    )


def test_with_k_of_some_only_these_are_scored_as_they_are_in_the_whole_matrix(small):
    for_texts, for_videos = choose_candidates(compare(small), 2)
    chosen = for_texts | for_videos
    scores, exact = compute(small, chosen=chosen, num_shares=2), compute(small)
    assert torch.equal(~scores.isnan().any(-1), chosen) and not chosen.all()
    torch.testing.assert_close(scores[chosen], exact[chosen], rtol=1e-5, atol=1e-6)
    assert torch.equal(scores.nan_to_num(), compute(small, chosen=chosen).nan_to_num())
