"""The score matrix of a small network: cut, killed, resumed and narrowed down, against the plain forward pass."""

import pytest
import torch

from clipbert_mmf.retrieval.blocks import share_blocks
from clipbert_mmf.retrieval.matrix import PairScorer, list_blocks, score_blocks
from clipbert_mmf.retrieval.score_store import ScoreStore, hash_network
from clipbert_mmf.retrieval.two_stage import choose_candidates, compare_embeddings
from clipbert_mmf.scoring.ranking import match_margin, summarize_retrieval
from clipbert_mmf.shapes import TokenBatch
from tests.models.test_network import make_network

VIDEOS, TEXTS, CLIPS = 5, 9, 2


@pytest.fixture(scope="module", params=["fold", "concat"])
def small(request):
    """A network, its videos' encoded clips, and texts of 2 to 8 tokens."""
    network = make_network(pairs_per_chunk=4, clip_fusion=request.param, contrastive=True).eval()
    generator = torch.Generator().manual_seed(4)
    frames = torch.randint(0, 256, (VIDEOS, CLIPS, 1, 3, 64, 64), generator=generator, dtype=torch.uint8)
    ids = torch.randint(5, 60, (TEXTS, 8), generator=generator)
    mask = (torch.arange(8) < torch.tensor([8, 2, 5, 5, 3, 8, 7, 2, 6])[:, None]).long()
    with torch.inference_mode():
        visual = [network.encode_clips(frames[i : i + 1]) for i in range(VIDEOS)]
    return network, frames, visual, TokenBatch(ids * mask, mask, ids * 0)


def compute(small, known=None, num_shares=1, chosen=None, keep=None, unreadable=()):
    """Score what is not known, in shares one after another; return the matrix with NaN where nothing was."""
    network, _, visual, tokens = small
    scorer = PairScorer(network, tokens, CLIPS)
    matrix = torch.full((VIDEOS, TEXTS, 2), torch.nan)

    def store(video, texts, scores):
        assert matrix[video, texts].isnan().all()
        matrix[video, texts] = scores
        if keep is not None:
            keep(video, texts, scores)

    known = torch.zeros(VIDEOS, TEXTS, dtype=torch.bool) if known is None else known
    with torch.inference_mode():
        for share in share_blocks(list_blocks(scorer, known, chosen), num_shares, scorer.chunk, 1):
            videos = dict.fromkeys(block.video for block in share)
            encoded = ((video, None if video in unreadable else visual[video]) for video in videos)
            score_blocks(scorer, share, encoded, store, chosen)
    return matrix


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


def test_a_killed_evaluation_goes_on_from_whole_entries(small, tmp_path, caplog):
    expected = compute(small)
    store = ScoreStore(tmp_path, {"model": hash_network(small[0])})
    store.open()

    class Killed(Exception):
        pass

    def keep(video, texts, scores):
        if len(list(store.place.glob("*.safetensors"))) == 3:
            raise Killed
        store.write(video, texts, scores)

    with pytest.raises(Killed):
        compute(small, keep=keep)
    entries = sorted(store.place.glob("*.safetensors"))
    entries[0].write_bytes(entries[0].read_bytes()[:50])  # as a full disk leaves it
    (store.place / "video000004-0.safetensors.1.part").write_bytes(b"half")
    matrix = torch.full_like(expected, torch.nan)
    for video, texts, scores in store.read():
        matrix[video, texts] = scores
    known = ~matrix.isnan().any(-1)
    assert known.any(1).sum() == 2 and "is damaged and computed anew" in caplog.text
    rest = compute(small, known, keep=store.write)
    matrix = torch.where(known[..., None], matrix, rest)
    assert torch.equal(matrix, expected)
    found = {video: (texts, scores) for video, texts, scores in store.read()}
    assert sorted(found) == list(range(VIDEOS))


def test_scores_of_anything_else_are_not_used_and_it_is_said_of_what(tmp_path, caplog):
    caplog.set_level("INFO")
    network = make_network()
    first = ScoreStore(tmp_path, {"model": hash_network(network), "texts": "a", "sampling": "s"})
    first.open()
    first.write(0, torch.arange(2), torch.zeros(2, 2))
    with torch.no_grad():
        network.head.output.bias[0] += 1
    second = ScoreStore(tmp_path, {"model": hash_network(network), "texts": "b", "sampling": "s"})
    second.open()
    assert list(second.read()) == [] and len(list(first.read())) == 1
    assert f"{first.place} is not used: scores of another model, texts" in caplog.text


def test_the_hash_of_a_network_tells_how_clips_are_joined():
    assert (
        len(
            {
                hash_network(make_network(fold=fold, clip_fusion=fusion))
                for fold in ("lse", "mean")
                for fusion in ("fold", "concat")
            }
        )
        == 4
    )
    assert hash_network(make_network()) == hash_network(make_network())


# ---- two stages


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
    with pytest.raises(ValueError, match="rerank_top_k is 0; expected at least 1"):
        choose_candidates(similarity, 0)


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
