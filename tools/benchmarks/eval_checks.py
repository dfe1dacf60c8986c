"""Optimisations of retrieval, on against off.

What must be equal is compared, and the program ends where it is not.
"""

from __future__ import annotations

import contextlib
import tempfile

import torch
from torch import Tensor

from benchmarks.eval_corpus import Corpus
from clipbert_mmf.retrieval.blocks import share_blocks
from clipbert_mmf.retrieval.matrix import PairScorer, list_blocks, score_blocks
from clipbert_mmf.retrieval.score_store import ScoreStore, hash_network
from clipbert_mmf.scoring.ranking import match_margin


def check_exactness(corpus: Corpus) -> dict[str, str]:
    """Compare the matrix as it is computed with plainer ways to compute it.

    Returns:
        What was compared -> the finding.

    Raises:
        SystemExit: if something differs more than it may.
    """
    whole = _compute(corpus)
    plain = torch.cat(
        [corpus.network(frames, *(x[None] for x in corpus.tokens))["scores"] for frames in corpus.frames]
    ).view_as(whole)
    found = {"matrix against the model's forward pass, a video with all texts": _compare(whole, plain)}
    chunk, corpus.network.pairs_per_chunk = corpus.network.pairs_per_chunk, 1
    try:
        found["sorted chunks against one text at a time"] = _compare(whole, _compute(corpus))
    finally:
        corpus.network.pairs_per_chunk = chunk
    for shares in (2, 3, 8):
        found[f"shared over {shares} processes against one"] = _require_equal(whole, _compute(corpus, shares))
    found["killed in the middle and resumed from disk against one go"] = _require_equal(
        whole, _resume(corpus)
    )
    return found


def _compute(corpus: Corpus, shares: int = 1, known: Tensor | None = None, keep=None) -> Tensor:
    scorer = PairScorer(corpus.network, corpus.tokens, corpus.visual[0].shape[1])
    matrix = torch.full((*corpus.matches.shape, 2), torch.nan)

    def store(video, texts, scores):
        matrix[video, texts] = scores
        if keep is not None:
            keep(video, texts, scores)

    blocks = list_blocks(scorer, torch.zeros_like(corpus.matches) if known is None else known)
    for share in share_blocks(blocks, shares, scorer.chunk):
        videos = dict.fromkeys(block.video for block in share)
        score_blocks(scorer, share, ((video, corpus.visual[video]) for video in videos), store)
    return matrix


class _KilledError(Exception):
    """Stands for a signal."""


def _resume(corpus: Corpus) -> Tensor:
    with tempfile.TemporaryDirectory() as folder:
        store = ScoreStore(folder, {"model": hash_network(corpus.network)})
        store.open()

        def keep(video, texts, scores):
            if video >= len(corpus.matches) // 2:
                raise _KilledError
            store.write(video, texts, scores)

        with contextlib.suppress(_KilledError):
            _compute(corpus, keep=keep)
        matrix = torch.full((*corpus.matches.shape, 2), torch.nan)
        for video, texts, scores in store.read(*corpus.matches.shape):
            matrix[video, texts] = scores
        known = ~matrix.isnan().any(-1)
        return torch.where(known[..., None], matrix, _compute(corpus, 2, known))


def _require_equal(expected: Tensor, found: Tensor) -> str:
    if not torch.equal(expected, found):
        raise SystemExit(
            f"scores differ by {float((expected - found).abs().max()):.2e}: they must be equal bit for bit"
        )
    return "equal bit for bit"


def _compare(expected: Tensor, found: Tensor) -> str:
    difference = float((expected - found).abs().max())
    same = [
        torch.equal(match_margin(expected).argsort(dim), match_margin(found).argsort(dim)) for dim in (0, 1)
    ]
    if difference > 1e-4:
        raise SystemExit(f"scores differ by {difference:.2e}; allowed is 1e-4")
    rankings = "the same" if all(same) else "differ where scores are that close"
    return f"largest difference {difference:.1e}, rankings {rankings}"
