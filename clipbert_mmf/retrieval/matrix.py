"""Compute the scores of blocks of pairs with a network.

Each video is encoded once, its texts go through in chunks.

The caller reads the videos and keeps the scores. Evaluation, the benchmark and the tests call the same
functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from clipbert_mmf.models.network import ClipBertNetwork, DatasetNetwork, text_lengths
from clipbert_mmf.retrieval.blocks import Block, cut_blocks, list_missing
from clipbert_mmf.scoring.clips import fold_clips
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.shapes import TokenBatch

#: Largest number of pairs in one entry on disk, and between two steps of the progress bar.
BLOCK_PAIRS = 512


class PairScorer:
    """Scores pairs with a network and the texts of a split, sorted by length so that no padding is computed.

    Args:
        network: network in evaluation mode, as ``select`` returns it where there are several heads.
        tokens: ``(N, L)``, all texts.
        num_clips: K, the same for every video.
    """

    def __init__(self, network: ClipBertNetwork | DatasetNetwork, tokens: TokenBatch, num_clips: int):
        self.network = network
        device = network.device
        self.tokens = TokenBatch(*(x.to(device) for x in tokens))
        self.chunk = network.texts_per_chunk(num_clips)
        #: Texts by length, shortest first.
        self.order = text_lengths(tokens.input_mask).argsort(stable=True).cpu()

    def list_texts(self, chosen: Tensor | None = None) -> Tensor:
        """Return the texts that ``chosen`` marks (``(N,)`` bool; None marks all) in the order of scoring."""
        return self.order if chosen is None else self.order[chosen[self.order]]

    def score(self, visual: Tensor, texts: Tensor, video: str = "the video") -> Tensor:
        """Return the folded scores of a video with some texts, ``(n, A)`` float32 on the CPU.

        Args:
            visual: ``(1, K, V, D)`` encoded clips.
            texts: ``(n,)`` int64 indices.
            video: its name, for messages.

        Raises:
            ScoresError: if a score is not finite, of a clip or folded.
        """

        def name(row: int) -> str:
            return f"{video} with text {int(texts[row])}"

        ids, mask, segments = (x[texts.to(x.device)] for x in self.tokens)
        videos = torch.zeros(len(texts), dtype=torch.int64, device=ids.device)
        clips = self.network.score_clips(visual, videos, ids, mask, segments)
        folded = fold_clips(check_scores(clips, len(texts), name), self.network.fold)
        return check_scores(folded.float().cpu(), len(texts), name)

    def embed_texts(self) -> Tensor:
        """Return the embeddings of all texts, ``(N, E)`` float32 on the CPU.

        Raises:
            ScoresError: if one is not finite.
        """
        step = self.network.pairs_at_once
        starts = range(0, len(self.order), step)
        parts = [
            self.network.embed_texts(*(x[start : start + step] for x in self.tokens)) for start in starts
        ]
        rows = torch.cat(parts).float().cpu()
        return check_scores(rows, len(self.order), lambda row: f"the embedding of text {row}")


def list_blocks(scorer: PairScorer, known: Tensor, chosen: Tensor | None = None) -> list[Block]:
    """Return the blocks that have no scores yet.

    Args:
        scorer: gives the order of texts that the blocks refer to.
        known: ``(V, N)`` bool, pairs whose score is there already.
        chosen: ``(V, N)`` bool, pairs to score; None for all.
    """
    blocks: list[Block] = []
    for video, row in enumerate(known):
        texts = scorer.list_texts(None if chosen is None else chosen[video])
        blocks.extend(list_missing(video, row[texts].tolist(), scorer.chunk))
    return blocks


def score_blocks(
    scorer: PairScorer,
    blocks: Sequence[Block],
    encoded: Iterable[tuple[int, Tensor | None]],
    keep: Callable[[int, Tensor, Tensor], None],
    chosen: Tensor | None = None,
    count: Callable[[int], None] = lambda num_pairs: None,
    name: Callable[[int], str] = lambda video: f"video {video}",
) -> None:
    """Score blocks and hand over the scores in parts of at most ``BLOCK_PAIRS``.

    Args:
        scorer: network and texts.
        blocks: pairs to score, ordered by video.
        encoded: each video of the blocks, in their order, with its ``(1, K, V, D)`` clips; None for an
            unreadable one.
        keep: gets a video, its texts ``(n,)`` and their scores ``(n, A)``.
        chosen: ``(V, N)`` bool, pairs to score; None for all.
        count: gets the number of pairs of each finished part.
        name: returns the name of a video, for messages.

    Raises:
        ScoresError: if a score is not finite.
    """
    by_video: dict[int, list[Block]] = {}
    for block in blocks:
        by_video.setdefault(block.video, []).append(block)
    for video, visual in encoded:
        texts = scorer.list_texts(None if chosen is None else chosen[video])
        for block in cut_blocks(by_video[video], scorer.chunk, BLOCK_PAIRS):
            if visual is not None:
                part = texts[block.start : block.stop]
                keep(video, part, scorer.score(visual, part, name(video)))
            count(block.num_pairs)
