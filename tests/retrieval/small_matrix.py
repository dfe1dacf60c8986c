"""Computes the score matrix of the small network of ``conftest``."""

import torch

from clipbert_mmf.retrieval.blocks import share_blocks
from clipbert_mmf.retrieval.matrix import PairScorer, list_blocks, score_blocks

VIDEOS, TEXTS, CLIPS = 5, 9, 2


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
