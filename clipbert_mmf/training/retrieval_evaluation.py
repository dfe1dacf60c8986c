"""Retrieval evaluated by the registered trainer: the matrix of pairs shared out evenly, kept on disk, or narrowed down.

Between MMF's loaders and ``clipbert_mmf.retrieval``, which computes; ``evaluation_loop`` makes the report. The result is the
same, bit for bit, for any number of processes and however often the evaluation was killed and started again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmf.common.report import Report
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from clipbert_mmf.models.network import DatasetNetwork
from clipbert_mmf.retrieval.blocks import Block, share_blocks
from clipbert_mmf.retrieval.matrix import PairScorer, list_blocks, score_blocks
from clipbert_mmf.retrieval.score_store import ScoreStore, hash_network, hash_tensors, hash_values
from clipbert_mmf.retrieval.two_stage import choose_candidates, compare_embeddings
from clipbert_mmf.scoring.gathering import as_gathered
from clipbert_mmf.settings import read_setting
from clipbert_mmf.tasks.retrieval import RetrievalEvaluation as RetrievalItems
from clipbert_mmf.training.distributed import from_first, gather_everywhere, get_rank, get_world_size
from clipbert_mmf.training.loaders import WorkerOptions, rebuild_loader
from clipbert_mmf.training.precision import Precision
from clipbert_mmf.training.progress import PairProgress

logger = logging.getLogger(__name__)

#: Encoded clips that a process keeps between the two stages; what is beyond is read and encoded again.
_HELD_BYTES = 4 << 30


@dataclass(frozen=True)
class RetrievalOptions:
    """What ``evaluation`` says of retrieval.

    Attributes:
        score_store: folder of scores on disk; None keeps none.
        rerank_top_k: candidates of each query that the cross-encoder ranks; None for all pairs.
    """

    score_store: str | None = None
    rerank_top_k: int | None = None


class MediaOnly(Dataset):
    """The media of some items of a dataset, without their texts."""

    def __init__(self, dataset, items: list[int]):
        self.dataset, self.items = dataset, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int):
        return self.dataset.read_media(self.items[index])


def suits(dataset: Any, network: Any) -> bool:
    """Tell whether a dataset's items are videos against all texts, and the network is ours with two logits a pair."""
    return (
        isinstance(getattr(dataset, "maker", None), RetrievalItems)
        and isinstance(network, DatasetNetwork)
        and not network.group_options
        and getattr(network.head, "num_outputs", None) == 2
    )


class RetrievalEvaluation:
    """One evaluation of one split; every process must make it and call ``run``.

    Args:
        network: in evaluation mode.
        loader: MMF's, of a ``ClipBertDataset`` that ``suits``.
        prepare: moves a batch to the device.
        precision: of the arithmetic.
        workers: how they read ahead.
        title: for messages.
        options: what to do.

    Raises:
        ValueError: if the model has no contrastive head and ``rerank_top_k`` needs one.
    """

    def __init__(
        self,
        network: DatasetNetwork,
        loader: DataLoader,
        prepare: Callable,
        precision: Precision,
        workers: WorkerOptions,
        title: str,
        options: RetrievalOptions,
    ):
        if options.rerank_top_k is not None and network.contrastive is None:
            raise ValueError(
                f"evaluation.rerank_top_k is {options.rerank_top_k}, and the model has no contrastive head to choose "
                f"with: train one with model_config.clipbert.contrastive.weight (such as 0.1), or set rerank_top_k to null"
            )
        self.network, self.loader, self.prepare, self.precision = network, loader, prepare, precision
        self.workers, self.title, self.options = replace(workers, persistent=False), title, options
        self.dataset, self.maker = loader.dataset, loader.dataset.maker
        self.num_videos, self.num_texts = len(self.maker), len(self.maker.tokens.input_ids)
        self.scorer = PairScorer(network, self.maker.tokens, self.dataset.media_processor.frames_shape[0])
        self.unreadable: set[int] = set()
        self.held: dict[int, Tensor] = {}

    def run(self) -> dict[str, Tensor]:
        """Return the fields of a report, on the CPU and equal on all processes.

        ``scores`` (V * N, 2), 0 where none was computed; ``targets`` (V, N); ``item_index`` and ``readable`` (V,); where
        the cross-encoder re-ranks also ``similarity`` (V, N), ``chosen_for_texts`` and ``chosen_for_videos`` (V, N) bool.
        """
        fields, chosen = {}, None
        if self.options.rerank_top_k is not None:
            similarity = self._compare()
            for_texts, for_videos = choose_candidates(similarity, self.options.rerank_top_k)
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
                self.options.rerank_top_k,
            )
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
            batch = self.prepare(next(batches))
            if int(batch.readable[0]):
                yield video, self.network.encode_clips(batch.frames)
            else:
                self.unreadable.add(video)
                yield video, None

    def _share(self, blocks: list[Block], chunk: int) -> list[Block]:
        return share_blocks(blocks, get_world_size(), chunk)[get_rank()]

    def _compare(self) -> Tensor:
        """First stage: return the ``(V, N)`` similarity of embeddings, each video encoded by one process."""
        videos = [
            block.video for block in self._share([Block(video, 0, 1) for video in range(self.num_videos)], 1)
        ]
        found: list[tuple[int, Tensor]] = []
        num_bytes = 0
        with self.precision.autocast():
            for video, visual in self._encode(videos):
                if visual is not None:
                    found.append((video, self.network.embed_videos(visual)[0].float().cpu()))
                    num_bytes += visual.nbytes
                    if num_bytes <= _HELD_BYTES:
                        self.held[video] = visual.cpu()
            texts = self.scorer.embed_texts()
        embeddings = torch.zeros(self.num_videos, texts.shape[1])
        for part, unreadable in gather_everywhere((found, self.unreadable)):
            self.unreadable |= unreadable
            for video, embedding in part:
                embeddings[video] = embedding
        readable = torch.ones(self.num_videos, dtype=torch.bool)
        readable[sorted(self.unreadable)] = False
        return compare_embeddings(embeddings, texts, readable)

    def _score(self, chosen: Tensor | None) -> Tensor:
        """Return ``(V, N, 2)``, 0 where nothing was computed."""
        known = torch.zeros(self.num_videos, self.num_texts, dtype=torch.bool)
        done: list[tuple[int, Tensor, Tensor]] = []
        store = self._open_store()
        if store is not None and get_rank() == 0:
            store.open()
            for video, texts, scores in store.read():
                known[video, texts] = True
                done.append((video, texts, scores))
            logger.info(
                "%s: %d of %d pairs are read from %s",
                self.title,
                int(known.sum()),
                known.numel(),
                store.place,
            )
        known = from_first(known)
        blocks = self._share(list_blocks(self.scorer, known, chosen), self.scorer.chunk)

        def keep(video: int, texts: Tensor, scores: Tensor) -> None:
            done.append((video, texts, scores))
            if store is not None:
                store.write(video, texts, scores)

        progress = PairProgress(self.title, sum(block.num_pairs for block in blocks), get_rank() == 0)
        with self.precision.autocast():
            videos = list(dict.fromkeys(block.video for block in blocks))
            score_blocks(self.scorer, blocks, self._encode(videos), keep, chosen, progress)
        progress.close()
        matrix = torch.zeros(self.num_videos, self.num_texts, 2)
        for part, unreadable in gather_everywhere((done, self.unreadable)):
            self.unreadable |= unreadable
            for video, texts, scores in part:
                matrix[video, texts] = scores
        return matrix

    def _open_store(self) -> ScoreStore | None:
        if not self.options.score_store:
            return None
        top_k, processor = self.options.rerank_top_k, self.dataset.media_processor
        items = [(self.maker.media_key(item), self.maker.window_sec(item)) for item in range(self.num_videos)]
        return ScoreStore(
            self.options.score_store,
            {
                "model": hash_network(self.network),
                "texts": hash_tensors(self.maker.tokens._asdict()),
                "videos": hash_values(
                    [items, processor.stamp(self.dataset.media_location, [key for key, _ in items])]
                ),
                "sampling": hash_values([processor.describe(), self.dataset.seed]),
                "arithmetic": f"{self.precision.name} on {self.precision.device_type}, {self.scorer.chunk} texts at once, "
                f"torch {torch.__version__}",
                "choice of pairs": "all" if top_k is None else f"top {top_k}",
            },
        )


class MatrixEvaluation:
    """The part of ``EvaluationLoop`` that evaluates retrieval by the matrix of all pairs."""

    def evaluate_matrix(self, split: str, name: str, loader, network, final: bool) -> Report:
        """Return the report of a retrieval dataset, with ``metrics`` and ``losses``; every process must call it."""
        settings = self.config.evaluation
        options = RetrievalOptions(
            read_setting(settings, "score_store") if final else None, read_setting(settings, "rerank_top_k")
        )
        fields = RetrievalEvaluation(
            network,
            loader,
            lambda batch: self.prepare_batch(batch, loader.dataset, name, split),
            self.precision,
            self.worker_options,
            f"{split} of {name}",
            options,
        ).run()
        report = Report([("dataset_name", name), ("dataset_type", split), *fields.items()])
        report.batch_size = len(fields["targets"])
        report.losses = {} if options.rerank_top_k is not None else self._matrix_losses(report)
        for field in fields:
            report[field] = self._place(report[field])
        with as_gathered():  # all processes hold the whole matrix
            report.metrics = self.metrics(report, report)
        return report

    def _matrix_losses(self, report: Report) -> dict[str, Tensor]:
        """Return the losses over all pairs of the videos that could be read."""
        kept = report.readable.bool()
        if not kept.any():
            return {}
        rows = Report(
            [
                ("dataset_name", report.dataset_name),
                ("dataset_type", report.dataset_type),
                ("targets", report.targets[kept]),
                ("scores", report.scores.view(*report.targets.shape, -1)[kept].flatten(0, 1)),
            ]
        )
        return {key: value.mean().reshape(1) for key, value in self.bare_model.losses(rows, rows).items()}
