"""Retrieval: find the videos of a text and the texts of a video by how well they match (paper section 4.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.annotations.grouping import PackedRecords
from clipbert_mmf.scoring.chance import guess_first_rank, guess_recall
from clipbert_mmf.scoring.metrics import measure_ranks
from clipbert_mmf.scoring.outcomes import Measured
from clipbert_mmf.scoring.ranking import match_margin, rank_retrieval
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.tasks.examples import Example
from clipbert_mmf.tasks.items import ItemConfig, ItemMaker, TextProcessor
from clipbert_mmf.tasks.judging import Records, list_media
from clipbert_mmf.tasks.predictions import ItemPrediction, SplitAnnotations, rank_scores
from clipbert_mmf.tasks.record_fields import CLIPS, FLAG, NUMBER, SHARE, TEXT, WHOLE, PredictionsError
from clipbert_mmf.tasks.task import Chance, Task, register_task
from clipbert_mmf.video.stores.names import make_key

#: Texts that a record lists in full.
NUM_TEXTS = 10


@dataclass(frozen=True)
class RetrievalConfig(ItemConfig):
    """Settings of training items.

    Attributes:
        texts_per_item: captions of the video that are read with one decoding of it.
        negatives_per_positive: captions of other videos beside each of them.
    """

    negatives_per_positive: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.negatives_per_positive < 0:
            raise ValueError(f"negatives_per_positive is {self.negatives_per_positive}; expected at least 0")


class RetrievalTraining(ItemMaker):
    """Captions of a video, each with captions of other videos; target 1 is the match, 0 is none."""

    Config: ClassVar[type[ItemConfig]] = RetrievalConfig

    def __init__(
        self,
        records: PackedRecords,
        text_processor: TextProcessor,
        config: RetrievalConfig | None = None,
        answers: Mapping[str, int] | None = None,
        is_training: bool = True,
    ):
        config = config or RetrievalConfig()
        super().__init__(records, text_processor, config, answers, is_training)
        self.negatives_per_positive = config.negatives_per_positive

    def check_texts(self) -> None:
        """Raise ``ValueError`` where a video has no negative text."""
        if self.negatives_per_positive:
            self.check_negatives()

    def make(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return ``N * (1 + negatives_per_positive)`` texts with their targets."""
        texts, targets = [], []
        for row in self.fill(item)[0]:
            texts.append(self.records.text(int(row)))
            targets.append(1)
            for _ in range(self.negatives_per_positive):
                texts.append(self.draw_other_text(self.segment_index(item), rng))
                targets.append(0)
        return {**self.encode(texts), "targets": torch.tensor(targets)}


class RetrievalEvaluation(ItemMaker):
    """One video, or part of one, against every text of the split, so that it is decoded and encoded once."""

    def __init__(
        self,
        records: PackedRecords,
        text_processor: TextProcessor,
        config: ItemConfig | None = None,
        answers: Mapping[str, int] | None = None,
        is_training: bool = False,
    ):
        config = replace(config or ItemConfig(), texts_per_item=max(1, len(records)))
        super().__init__(records, text_processor, config, answers, is_training)
        # Encoded once, before workers start: they share these pages.
        self._tokens = text_processor([records.text(row) for row in range(len(records))])
        self._segment_of_text = torch.from_numpy(self.groups.segment_of_row.astype(np.int64))

    @property
    def tokens(self) -> TokenBatch:
        """All texts of the split, ``(N, L)``."""
        return self._tokens

    def match_matrix(self) -> Tensor:
        """Return the targets of all items, ``(items, N)`` int64."""
        return (torch.arange(len(self))[:, None] == self._segment_of_text).to(torch.int64)

    def make(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return all texts of the split; target 1 is a match."""
        targets = (self._segment_of_text == self.segment_index(item)).to(torch.int64)
        return {**self._tokens._asdict(), "targets": targets}


def write_matches(split: SplitAnnotations, prediction: ItemPrediction) -> Iterator[dict[str, Any]]:
    """Yield one record per medium: the score of every text, and the best and the correct texts in full."""
    ids = split.text_ids
    correct = prediction.targets.nonzero().flatten().tolist()
    record: dict[str, Any] = {
        "correct_text_ids": [ids[row] for row in correct],
        "texts": [],
        "scores": {},
        "clips": [],
    }
    if prediction.readable:
        scores = match_margin(prediction.scores)  # retrieval ranks by it
        order = rank_scores(scores).tolist()
        shown = order[:NUM_TEXTS] + [row for row in correct if row not in order[:NUM_TEXTS]]
        ranks = {row: rank for rank, row in enumerate(order, start=1)}
        chances = scores.double().sigmoid()
        record["texts"] = [
            {
                "text_id": ids[row],
                "text": split.maker.records.text(row),
                "probability": float(chances[row]),
                "rank": ranks[row],
                "correct": row in correct,
            }
            for row in shown
        ]
        record["scores"] = dict(zip(ids, scores.tolist(), strict=True))
        record["clips"] = prediction.describe_clips(match_margin(prediction.clip_scores)[:, shown])
    yield record


@dataclass(frozen=True)
class ScoreMatrix:
    """The scores of a file of retrieval predictions.

    Attributes:
        scores: ``(media, texts)`` float64; minus infinity where a medium was unreadable.
        matches: ``(media, texts)`` bool.
        readable: ``(media,)`` bool.
        text_ids: ids of the texts, by column.
    """

    scores: Tensor
    matches: Tensor
    readable: Tensor
    text_ids: list[str]


def make_score_matrix(records: Records) -> ScoreMatrix:
    """Return the scores of a file of retrieval predictions as a matrix.

    Raises:
        PredictionsError: if a readable medium has no score of a text, or one of a text that no medium has.
    """
    # Every text is correct for some medium.
    ids = list(dict.fromkeys(text_id for record in records for text_id in record["correct_text_ids"]))
    for number, record in enumerate(records):
        different = set(ids) ^ set(record["scores"]) if record["readable"] else set(record["scores"])
        if different:
            raise PredictionsError(
                f"record {number} ('{record['media_id']}') has {len(record['scores'])} scores; expected one of "
                f"each of the {len(ids) if record['readable'] else 0} texts. The first that differs is "
                f"'{min(different)}'"
            )
    column = {text_id: index for index, text_id in enumerate(ids)}
    scores = torch.full((len(records), len(ids)), -torch.inf, dtype=torch.float64)
    matches = torch.zeros(len(records), len(ids), dtype=torch.bool)
    for row, record in enumerate(records):
        for text_id, score in record["scores"].items():
            scores[row, column[text_id]] = score
        matches[row, [column[text_id] for text_id in record["correct_text_ids"]]] = True
    readable = torch.tensor([bool(record["readable"]) for record in records])
    return ScoreMatrix(scores, matches, readable, ids)


def judge_matches(records: Records) -> Measured:
    """Return recall, ranks and ties in both directions."""
    matrix = make_score_matrix(records)
    to_video, to_text = rank_retrieval(matrix.scores, matrix.matches, matrix.readable)
    return measure_ranks(to_video, to_text, matrix.matches, matrix.readable, list_media(records))


def choose_examples(records: Records, count: int) -> list[Example]:
    """Return texts whose video came first, surest first, and texts whose video came last."""
    matrix = make_score_matrix(records)
    texts = {text["text_id"]: text["text"] for record in records for text in record["texts"]}
    found: list[tuple[int, float, Example]] = []
    for column, text_id in enumerate(matrix.text_ids):
        if not matrix.matches[:, column].any() or text_id not in texts:
            continue
        order = rank_scores(matrix.scores[:, column]).tolist()
        rank = next(n for n, row in enumerate(order, start=1) if matrix.matches[row, column])
        own, first = records[order[rank - 1]], records[order[0]]
        if not own["readable"]:
            continue
        verdict, other, other_segment = "found first", "", None
        if rank > 1:
            other, other_segment = first["media_id"], first.get("segment_sec")
            verdict = f"found at rank {rank} of {len(records)}; '{other}' came first"
        example = Example(
            own["media_id"],
            texts[text_id],
            None,
            texts[text_id],
            verdict,
            rank == 1,
            other,
            own.get("segment_sec"),
            other_segment,
        )
        found.append((rank, -float(matrix.scores[order[0], column]), example))
    found.sort(key=lambda entry: entry[:2])
    best = [entry[2] for entry in found if entry[2].is_correct][:count]
    return best + [entry[2] for entry in reversed(found) if not entry[2].is_correct][:count]


def guess_videos(media: Sequence[Any], depth: int) -> float:
    """Return the recall of videos in a random order, from the medium of each text."""
    return guess_recall(len(set(media)), depth)


def guess_texts(media: Sequence[Any], depth: int) -> float:
    """Return the recall of texts in a random order, from the medium of each text."""
    return mean(guess_recall(len(media), depth, own) for own in Counter(media).values())


RETRIEVAL = Task(
    "retrieval",
    training_items=RetrievalTraining,
    evaluation_items=RetrievalEvaluation,
    heads=("match",),
    asks="score",
    reads="captions",
    recipe="retrieval.yaml",
    metric="clipbert_retrieval",
    main_number="t2v_r1",
    further_curves=("v2t_r1",),
    chance=Chance(
        lambda media: guess_videos(media, 1),
        lambda prediction: (prediction["media_id"], tuple(prediction.get("segment_sec") or ())),
        lambda record: (make_key(record.media_key), record.window_sec),
        further={
            "t2v_r5": lambda media: guess_videos(media, 5),
            "t2v_r10": lambda media: guess_videos(media, 10),
            "t2v_mean_rank": lambda media: guess_first_rank(len(set(media))),
            "v2t_r1": lambda media: guess_texts(media, 1),
            "v2t_r5": lambda media: guess_texts(media, 5),
            "v2t_r10": lambda media: guess_texts(media, 10),
            "v2t_mean_rank": lambda media: mean(
                guess_first_rank(len(media), own) for own in Counter(media).values()
            ),
        },
    ),
    write_records=write_matches,
    judge_records=judge_matches,
    record_fields={
        "correct_text_ids": [TEXT],
        "texts": [{"text_id": TEXT, "text": TEXT, "probability": SHARE, "rank": WHOLE, "correct": FLAG}],
        "scores": {str: NUMBER},
        "clips": CLIPS,
    },
    choose_examples=choose_examples,
)
register_task(RETRIEVAL)
