"""Evaluates retrieval: the matrix of all pairs, shared out over processes, kept on disk, or narrowed to candidates.

``clipbert_mmf.retrieval`` computes the scores. The result is the same, bit for bit, for any number of
processes and however often the evaluation was killed and started again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.network import DatasetNetwork
from clipbert_mmf.retrieval.blocks import Block, share_blocks
from clipbert_mmf.retrieval.matrix import PairScorer, list_blocks, score_blocks
from clipbert_mmf.retrieval.score_store import ScoreStore, hash_network, hash_tensors, hash_values
from clipbert_mmf.retrieval.two_stage import choose_candidates, compare_embeddings
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.tasks.retrieval import RetrievalEvaluation
from clipbert_mmf.training.distributed import (
    broadcast_from_rank_0,
    gather_everywhere,
    get_rank,
    get_world_size,
)
from clipbert_mmf.training.interrupts import Interrupts
from clipbert_mmf.training.loaders import rebuild_loader
from clipbert_mmf.training.logging import PairProgress
from clipbert_mmf.training.options import WorkerOptions
from clipbert_mmf.training.precision import Precision

logger = logging.getLogger(__name__)

#: Encoded clips that a process keeps between the two stages; what is beyond is read and encoded again.
_HELD_BYTES = 4 << 30
#: From so many texts on two stages are recommended, with so many candidates of each query.
_MANY_TEXTS, _ADVISED_TOP_K = 1000, 100


class MediaOnly(Dataset[Any]):
    """Reads the media of some items of a dataset, without their texts."""

    def __init__(self, dataset: Any, items: list[int]) -> None:
        self.dataset, self.items = dataset, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.dataset.read_media(self.items[index])


def supports_matrix_evaluation(dataset: Any, network: DatasetNetwork) -> bool:
    """Return whether a dataset's items are videos against all texts, and the network gives two logits a pair."""
    return (
        isinstance(getattr(dataset, "maker", None), RetrievalEvaluation)
        and not network.group_options
        and getattr(network.head, "num_outputs", None) == 2
    )


def describe_cost(num_videos: int, num_texts: int, num_clips: int) -> str:
    """Return what scoring every text with every video takes, and from ``_MANY_TEXTS`` on what takes less."""
    pairs, kept = num_videos * num_texts, _ADVISED_TOP_K * (num_videos + num_texts)
    cost = (
        f"every text with every video, {num_videos:,} x {num_texts:,} = {pairs:,} pairs of {num_clips} clips, which "
        f"grows with the square of the test set"
    )
    if num_texts < _MANY_TEXTS or kept >= pairs:
        return cost
    return (
        f"{cost}; evaluation.rerank_top_k={_ADVISED_TOP_K} scores at most {kept:,}, {pairs / kept:.1f} times fewer "
        f"(docs/retrieval_at_scale.md says what it may miss)"
    )


class MatrixEvaluation:
    """Evaluates one split once; every process must make it and call ``run``.

    Args:
        network: in evaluation mode.
        loader: MMF's, of a dataset that ``supports_matrix_evaluation``.
        prepare: moves a batch to the device.
        precision: arithmetic of the forward passes.
        workers: say how they read ahead.
        title: for messages.
        score_store: folder of scores on disk; None keeps none.
        rerank_top_k: candidates of each query that the cross-encoder ranks; None for all pairs.
        interrupts: signals that end the evaluation; None for none.

    Raises:
        ConfigurationError: if the model has no contrastive head and ``rerank_top_k`` needs one.
    """

    def __init__(
        self,
        network: DatasetNetwork,
        loader: DataLoader[Any],
        prepare: Callable[[Any], Any],
        precision: Precision,
        workers: WorkerOptions,
        title: str,
        score_store: str | None = None,
        rerank_top_k: int | None = None,
        interrupts: Interrupts | None = None,
    ) -> None:
        if rerank_top_k is not None and network.contrastive is None:
            raise ConfigurationError(
                f"evaluation.rerank_top_k is {rerank_top_k}, and the model has no contrastive head to choose "
                f"with: train one with model_config.clipbert.contrastive.weight (such as 0.1), or set "
                f"rerank_top_k to null"
            )
        self.network, self.loader, self.prepare, self.precision = network, loader, prepare, precision
        self.workers, self.title = replace(workers, persistent_workers=False), title
        self.score_store, self.rerank_top_k = score_store, rerank_top_k
        self.interrupts = interrupts or Interrupts()
        self.dataset: Any = loader.dataset
        self.maker: RetrievalEvaluation = self.dataset.maker
        self.num_videos, self.num_texts = len(self.maker), len(self.maker.tokens.input_ids)
        self.num_clips = int(self.dataset.media_processor.frames_shape[0])
        self.scorer = PairScorer(network, self.maker.tokens, self.num_clips)
        self.unreadable: set[int] = set()
        self.held: dict[int, Tensor] = {}
        self._stamps: list[str] = []

    def run(self) -> dict[str, Tensor]:
        """Return the fields of a report, on the CPU and equal on all processes.

        ``scores`` (V * N, 2), 0 where none was computed; ``targets`` (V, N); ``item_index`` and ``readable``
        (V,); where the cross-encoder re-ranks also ``similarity`` (V, N), ``chosen_for_texts`` and
        ``chosen_for_videos`` (V, N) bool.
        """
        fields: dict[str, Tensor] = {}
        chosen: Tensor | None = None
        if self.rerank_top_k is not None:
            similarity = self._compare()
            for_texts, for_videos = choose_candidates(similarity, self.rerank_top_k)
            fields = {
                "similarity": similarity,
                "chosen_for_texts": for_texts,
                "chosen_for_videos": for_videos,
            }
            chosen = for_texts | for_videos
            logger.info(
                "%s: the cross-encoder ranks %d of %d pairs, the %d most similar of each query",
                self.title,
                int(chosen.sum()),
                chosen.numel(),
                self.rerank_top_k,
            )
        elif get_rank() == 0:
            logger.info("%s: %s", self.title, describe_cost(self.num_videos, self.num_texts, self.num_clips))
        scores = self._score(chosen)
        readable = torch.ones(self.num_videos, dtype=torch.int64)
        readable[sorted(self.unreadable)] = 0
        return {
            "scores": scores.flatten(0, 1),
            "targets": self.maker.match_matrix(),
            "item_index": torch.arange(self.num_videos),
            "readable": readable,
            **fields,
        }

    def _encode(self, videos: list[int]) -> Iterator[tuple[int, Tensor | None]]:
        """Yield videos, in order, with their encoded clips; what the first stage kept is not read again."""
        missing = [video for video in videos if video not in self.held]
        one_by_one = BatchSampler(SequentialSampler(missing), 1, False)
        batches = iter(
            rebuild_loader(self.loader, one_by_one, self.workers, MediaOnly(self.dataset, missing))
            if missing
            else ()
        )
        for video in videos:
            if video in self.held:
                yield video, self.held[video].to(self.scorer.tokens.input_ids.device)
                continue
            self.interrupts.check()
            with self.interrupts.waiting(is_whole=True):
                read = next(batches)
            batch = self.prepare(read)
            if int(batch.readable[0]):
                yield video, self.network.encode_clips(batch.frames)
            else:
                self.unreadable.add(video)
                yield video, None

    def _name(self, video: int) -> str:
        return f"item {video}, {self.maker.describe(video)} ({self.title})"

    def _share(self, blocks: list[Block], chunk: int) -> list[Block]:
        return share_blocks(blocks, get_world_size(), chunk)[get_rank()]

    def _compare(self) -> Tensor:
        """First stage: return the ``(V, N)`` similarity of embeddings, each video encoded by one process."""
        videos = [
            block.video for block in self._share([Block(video, 0, 1) for video in range(self.num_videos)], 1)
        ]
        found, texts = self.interrupts.run_share(lambda: self._embed_share(videos))
        embeddings = torch.zeros(self.num_videos, texts.shape[1])
        for part, unreadable in gather_everywhere((found, self.unreadable)):
            self.unreadable |= unreadable
            for video, embedding in part:
                embeddings[video] = embedding
        readable = torch.ones(self.num_videos, dtype=torch.bool)
        readable[sorted(self.unreadable)] = False
        return compare_embeddings(embeddings, texts, readable)

    def _embed_share(self, videos: list[int]) -> tuple[list[tuple[int, Tensor]], Tensor]:
        """Return the embeddings of this process's videos and of all texts."""
        found: list[tuple[int, Tensor]] = []
        num_bytes = 0
        with self.precision.autocast():
            for video, visual in self._encode(videos):
                if visual is not None:
                    embedding = self.network.embed_videos(visual).float().cpu()
                    check_scores(
                        embedding, 1, lambda row, video=video: f"the embedding of {self._name(video)}"
                    )
                    found.append((video, embedding[0]))
                    num_bytes += visual.nbytes
                    if num_bytes <= _HELD_BYTES:
                        self.held[video] = visual.cpu()
            return found, self.scorer.embed_texts()

    def _score(self, chosen: Tensor | None) -> Tensor:
        """Return ``(V, N, 2)``, 0 where nothing was computed."""
        known = torch.zeros(self.num_videos, self.num_texts, dtype=torch.bool)
        done: list[tuple[int, Tensor, Tensor]] = []
        store = self._open_store()
        if store is not None and get_rank() == 0:
            store.open()
            for video, texts, scores in store.read(self.num_videos, self.num_texts):
                if not self._stamps[video]:
                    continue
                known[video, texts] = True
                done.append((video, texts, scores))
            logger.info(
                "%s: %d of %d pairs are read from %s",
                self.title,
                int(known.sum()),
                known.numel(),
                store.place,
            )
        known = broadcast_from_rank_0(known)
        blocks = self._share(list_blocks(self.scorer, known, chosen), self.scorer.chunk)

        def keep(video: int, texts: Tensor, scores: Tensor) -> None:
            done.append((video, texts, scores))
            # Scores of a medium whose state is not known could not be told from those of another.
            if store is not None and self._stamps[video]:
                store.write(video, texts, scores)

        def score_share() -> bool:
            progress = PairProgress(self.title, sum(block.num_pairs for block in blocks), get_rank() == 0)

            def advance(num_pairs: int) -> None:
                progress(num_pairs)
                self.interrupts.check()

            videos = list(dict.fromkeys(block.video for block in blocks))
            try:
                with self.precision.autocast():
                    score_blocks(self.scorer, blocks, self._encode(videos), keep, chosen, advance, self._name)
            finally:
                progress.close()
            return True

        self.interrupts.run_share(score_share)
        matrix = torch.zeros(self.num_videos, self.num_texts, 2)
        for part, unreadable in gather_everywhere((done, self.unreadable)):
            self.unreadable |= unreadable
            for video, texts, scores in part:
                matrix[video, texts] = scores
        return matrix

    def _open_store(self) -> ScoreStore | None:
        if not self.score_store:
            return None
        top_k, processor = self.rerank_top_k, self.dataset.media_processor
        items = [(self.maker.media_key(item), self.maker.window_sec(item)) for item in range(self.num_videos)]
        self._stamps = processor.stamp(self.dataset.media_location, [key for key, _ in items])
        return ScoreStore(
            self.score_store,
            {
                "model": hash_network(self.network),
                "texts": hash_tensors(self.maker.tokens._asdict()),
                "videos": hash_values([items, self._stamps]),
                "sampling": hash_values([processor.describe(), self.dataset.seed]),
                "arithmetic": f"{self.precision.name} on {self.precision.device_type}, "
                f"{self.scorer.chunk} texts at once, torch {torch.__version__}",
                "choice of pairs": "all" if top_k is None else f"top {top_k}",
            },
        )
