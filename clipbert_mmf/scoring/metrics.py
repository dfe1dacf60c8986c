"""Compute the numbers of an evaluation from its report, one function per family of tasks.

Each function gathers the rows of all ranks, drops rows that a sampler repeated to fill a batch, and returns
numbers by name, so that one process and several give the same result. With the numbers come the outcomes
that they are means of, from which ``uncertainty`` makes intervals. Unreadable media count as misses or as
wrong answers. Recall and accuracy are 0 to 1, ranks start at 1. ``plugin.metrics`` registers the families
with MMF.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from clipbert_mmf.scoring import answers
from clipbert_mmf.scoring.gathering import first_of_each, gather_rows, index_of_texts
from clipbert_mmf.scoring.outcomes import Measured, Outcomes, make_outcomes
from clipbert_mmf.scoring.ranking import RECALL_DEPTHS, QueryRanks, match_margin, rank_retrieval
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.shapes import ANSWER_TYPES, PADDING_TEXT, UNKNOWN_ANSWER


def measure_retrieval(
    scores: Tensor,
    targets: Tensor,
    item_index: Tensor,
    readable: Tensor,
    similarity: Tensor | None = None,
    chosen_for_texts: Tensor | None = None,
    chosen_for_videos: Tensor | None = None,
) -> Measured:
    """Rank videos for texts and texts for videos in the full matrix.

    Two-stage retrieval scores chosen pairs only; the others rank behind them by ``similarity``.

    Args:
        scores: ``(B * N, 2)`` logits, N all texts of the split.
        targets: ``(B, N)``, 1 where the text matches the video.
        item_index: ``(B,)`` int64, unique in the split.
        readable: ``(B,)``, 0 where the video could not be read.
        similarity: ``(B, N)`` float.
        chosen_for_texts: ``(B, N)`` bool, pairs whose score ranks a text's videos.
        chosen_for_videos: ``(B, N)`` bool, pairs whose score ranks a video's texts.

    Returns:
        ``t2v_r1``, ``t2v_r5``, ``t2v_r10``, ``t2v_median_rank``, ``t2v_mean_rank``, ``t2v_num_ties``, the
        same with ``v2t_``, ``num_items``, ``num_unreadable``.
    """
    _check_pairs(scores, targets.numel(), item_index, readable)
    items = gather_rows(item_index)
    kept = first_of_each(items)

    def collect(rows: Tensor) -> Tensor:
        return gather_rows(rows)[kept]

    matrix = collect(match_margin(scores.float().view(*targets.shape, 2)))
    matches, can_read = collect(targets).bool(), collect(readable).bool()
    candidates = None
    if similarity is not None and chosen_for_texts is not None and chosen_for_videos is not None:
        _check_pairs(similarity.flatten(), targets.numel(), item_index, readable)
        candidates = (collect(similarity), collect(chosen_for_texts), collect(chosen_for_videos))
    to_video, to_text = rank_retrieval(matrix, matches, can_read, candidates)
    return measure_ranks(to_video, to_text, matches, can_read, items[kept].cpu().numpy())


def _check_pairs(scores: Tensor, num_rows: int, item_index: Tensor, readable: Tensor) -> Tensor:
    """Check scores of which each item has the same number of rows; see ``validity.check_scores``."""
    per_item = max(1, num_rows // len(item_index))
    return check_scores(
        scores,
        num_rows,
        lambda row: f"item {int(item_index[row // per_item])} of the split",
        readable.repeat_interleave(per_item),
    )


def measure_ranks(
    to_video: QueryRanks, to_text: QueryRanks, matches: Tensor, readable: Tensor, media: np.ndarray
) -> Measured:
    """Return the numbers of both directions. A text counts for the medium that it describes, the first of several.

    Args:
        to_video: ranks of videos for texts.
        to_text: ranks of texts for videos.
        matches: ``(videos, texts)`` bool.
        readable: ``(videos,)`` bool.
        media: ``(videos,)``, item or medium of each.
    """
    video_of_text = matches.int().argmax(0)[to_video.queries].cpu().numpy()
    video = to_text.queries.cpu().numpy()
    outcomes = {
        **_trace_ranks("t2v", "text to video", to_video, media[video_of_text]),
        **_trace_ranks("v2t", "video to text", to_text, media[video]),
    }
    ties = {f"{name}_num_ties": float(one.tied.sum()) for name, one in (("t2v", to_video), ("v2t", to_text))}
    return Measured(outcomes, {**ties, **count_items(readable)})


def _trace_ranks(direction: str, words: str, found: QueryRanks, media: np.ndarray) -> dict[str, Outcomes]:
    """Return the outcomes of one direction by name of the number."""
    recalls = {
        f"{direction}_r{depth}": make_outcomes(
            found.ranks <= depth, media, f"{words}, recall at {depth}", is_share=True
        )
        for depth in RECALL_DEPTHS
    }
    return {
        **recalls,
        f"{direction}_median_rank": make_outcomes(
            found.ranks, media, f"{words}, median rank", statistic="median"
        ),
        f"{direction}_mean_rank": make_outcomes(found.ranks, media, f"{words}, mean rank"),
    }


def count_items(readable: Tensor) -> dict[str, float]:
    """Return ``num_items`` and ``num_unreadable`` of ``(items,)`` bool."""
    return {"num_items": float(len(readable)), "num_unreadable": float((~readable).sum())}


def trace_answers(
    accuracy: Tensor, media: Tensor | np.ndarray, answer_type: Tensor | None = None
) -> tuple[dict[str, Outcomes], dict[str, float]]:
    """Return the outcomes of the accuracy, of that of each answer type that occurs, and the texts of each type.

    Args:
        accuracy: ``(texts,)`` float, 0 to 1.
        media: ``(texts,)``, item or medium of each.
        answer_type: ``(texts,)`` int64, indices into ``ANSWER_TYPES``; -1 for a text without a type.

    Returns:
        Outcomes named ``accuracy`` and ``accuracy_<type>``; numbers named ``num_texts_<type>``.
    """
    outcomes = {"accuracy": make_outcomes(accuracy, media, "accuracy", is_share=True)}
    counts: dict[str, float] = {}
    for index, name in enumerate(ANSWER_TYPES if answer_type is not None else ()):
        of_type = answer_type == index
        if bool(of_type.any()):
            key = name.replace("/", "_")
            title = f"accuracy, {name}"
            rows = of_type.cpu().numpy()
            own = media.cpu().numpy() if isinstance(media, Tensor) else media
            outcomes[f"accuracy_{key}"] = make_outcomes(accuracy[of_type], own[rows], title, is_share=True)
            counts[f"num_texts_{key}"] = float(of_type.sum())
    return outcomes, counts


class _Texts:
    """The texts of all ranks, each once, without those that only fill a batch."""

    def __init__(self, item_index: Tensor, readable: Tensor, text_index: Tensor | None, num_texts: int):
        if text_index is None:
            text_index = index_of_texts(item_index, num_texts)
        index = gather_rows(text_index.flatten())
        kept = first_of_each(index)
        self._kept = kept[index[kept] != PADDING_TEXT]
        items = first_of_each(gather_rows(item_index))
        self.counts = {
            "num_texts": float(len(self._kept)),
            **count_items(gather_rows(readable)[items].bool()),
        }
        self.readable = readable.bool().repeat_interleave(num_texts)
        self.items = self.collect(item_index.repeat_interleave(num_texts))

    def collect(self, rows: Tensor) -> Tensor:
        """Return ``(texts,)`` of all ranks from the ``(B, N)`` or ``(P,)`` of this one."""
        return gather_rows(rows.flatten())[self._kept]


def measure_answers(
    scores: Tensor,
    targets: Tensor,
    item_index: Tensor,
    readable: Tensor,
    text_index: Tensor | None = None,
    answer_type: Tensor | None = None,
) -> Measured:
    """Measure answers that are right or wrong: open-ended questions and multiple choice.

    Args:
        scores: ``(P, A)``; ``(B, N)`` for multiple choice, N the options.
        targets: ``(B, N)`` int64; ``(B,)`` for multiple choice.
        item_index: ``(B,)`` int64, unique in the split.
        readable: ``(B,)``, 0 where the medium could not be read.
        text_index: ``(B, N)`` or ``(B,)`` int64, unique in the split; ``PADDING_TEXT`` for a text that fills
            a batch.
        answer_type: as ``text_index``; an index into ``ANSWER_TYPES``, or -1.

    Returns:
        ``accuracy``, ``num_unknown`` (questions whose answer is not in the vocabulary), ``num_texts``,
        ``num_items``, ``num_unreadable``, and ``accuracy_<type>``, ``num_texts_<type>`` for each type that
        occurs.
    """
    _check_pairs(scores, targets.numel(), item_index, readable)
    texts = _Texts(item_index, readable, text_index, len(scores) // len(targets))
    right = texts.collect(answers.score_classes(scores.float(), targets.flatten()) * texts.readable)
    return _name_answers(texts, right, targets.flatten() == UNKNOWN_ANSWER, answer_type)


def measure_soft_answers(
    scores: Tensor,
    targets: Tensor,
    item_index: Tensor,
    readable: Tensor,
    text_index: Tensor | None = None,
    answer_type: Tensor | None = None,
) -> Measured:
    """Measure answers by VQA's official score.

    Args:
        scores: ``(P, A)``.
        targets: ``(B, N, A)`` float, 0 to 1; ``(B, A)`` with MMF's layout, one question per item.
        item_index: ``(B,)`` int64, unique in the split.
        readable: ``(B,)``, 0 where the medium could not be read.
        text_index: ``(B, N)`` or ``(B,)`` int64, unique in the split; ``PADDING_TEXT`` for a text that fills
            a batch.
        answer_type: as ``text_index``; an index into ``ANSWER_TYPES``, or -1.

    Returns:
        The names of ``measure_answers``; ``num_unknown`` counts questions that no answer of the vocabulary
        scores for.
    """
    rows = targets.reshape(-1, targets.shape[-1])
    _check_pairs(scores, len(rows), item_index, readable)
    texts = _Texts(item_index, readable, text_index, len(scores) // len(targets))
    right = texts.collect(answers.score_soft_answers(scores.float(), rows) * texts.readable)
    return _name_answers(texts, right, ~(rows > 0).any(-1), answer_type)


def _name_answers(texts: _Texts, right: Tensor, unknown: Tensor, answer_type: Tensor | None) -> Measured:
    types = None if answer_type is None else texts.collect(answer_type)
    outcomes, num_of_type = trace_answers(right, texts.items, types)
    num_unknown = float(texts.collect(unknown).sum())
    return Measured(outcomes, {"num_unknown": num_unknown, **texts.counts, **num_of_type})


def measure_counts(
    scores: Tensor,
    targets: Tensor,
    item_index: Tensor,
    readable: Tensor,
    text_index: Tensor | None = None,
) -> Measured:
    """Measure counts: right after rounding, and the squared error.

    Args:
        scores: ``(P, 1)``.
        targets: ``(B, N)``.
        item_index: ``(B,)`` int64, unique in the split.
        readable: ``(B,)``, 0 where the medium could not be read.
        text_index: ``(B, N)`` or ``(B,)`` int64, unique in the split; ``PADDING_TEXT`` for a text that fills
            a batch.

    Returns:
        ``accuracy``, ``mse``, ``num_texts``, ``num_items``, ``num_unreadable``.
    """
    scores, counts = scores.float(), targets.flatten()
    _check_pairs(scores, len(counts), item_index, readable)
    texts = _Texts(item_index, readable, text_index, len(scores) // len(targets))
    right = texts.collect(answers.score_counts(scores, counts) * texts.readable)
    errors = texts.collect(answers.square_count_errors(scores, counts, texts.readable))
    return Measured(trace_counts(right, errors, texts.items), texts.counts)


def trace_counts(right: Tensor, errors: Tensor, media: Tensor | np.ndarray) -> dict[str, Outcomes]:
    """Return the outcomes of the accuracy of counts and of their squared errors, from ``(texts,)`` each."""
    return {
        "accuracy": make_outcomes(right, media, "accuracy of rounded counts", is_share=True),
        "mse": make_outcomes(errors, media, "mean squared error of counts"),
    }


def measure_pretraining(
    scores: Tensor,
    targets: Tensor,
    item_index: Tensor,
    readable: Tensor,
    mlm_right: Tensor,
    mlm_total: Tensor,
    text_index: Tensor | None = None,
) -> Measured:
    """Measure matching (ITM) and hidden tokens (MLM).

    Args:
        scores: ``(P, 2)`` logits.
        targets: ``(B, N)``, 1 where the text matches.
        mlm_right: ``(P,)`` int64, hidden tokens that were found.
        mlm_total: ``(P,)`` int64, hidden tokens.
        item_index: ``(B,)`` int64, unique in the split.
        readable: ``(B,)``, 0 where the medium could not be read.
        text_index: ``(B, N)`` or ``(B,)`` int64, unique in the split; ``PADDING_TEXT`` for a text that fills
            a batch.

    Returns:
        ``itm_accuracy``, ``mlm_accuracy`` (over all hidden tokens; 0 without any), ``num_texts``,
        ``num_items``, ``num_unreadable``.
    """
    _check_pairs(scores, targets.numel(), item_index, readable)
    texts = _Texts(item_index, readable, text_index, len(scores) // len(targets))
    right = texts.collect(answers.score_classes(scores.float(), targets.flatten()) * texts.readable)
    found, hidden = texts.collect(mlm_right), texts.collect(mlm_total)
    outcomes = {
        "itm_accuracy": make_outcomes(right, texts.items, "accuracy of matching", is_share=True),
        "mlm_accuracy": make_outcomes(
            found.double() / hidden.clamp(min=1),
            texts.items,
            "accuracy of hidden words",
            is_share=True,
            weights=hidden.double().cpu().numpy(),
        ),
    }
    return Measured(outcomes, texts.counts)


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    Attributes:
        measure: returns numbers by name, with their outcomes; its arguments are the fields.
        required: fields of the report that every evaluated batch of the metric's tasks has.
        numbers: names of the numbers it returns.
        optional: fields that only the registered trainer's matrix of pairs has.
        has_types: whether it also returns ``accuracy_<type>`` and ``num_texts_<type>`` of the types of answers
            that occur.
    """

    measure: Callable[..., Measured]
    required: tuple[str, ...]
    numbers: tuple[str, ...]
    optional: tuple[str, ...] = ()
    has_types: bool = False

    def list_numbers(self) -> list[str]:
        """Return the names of all numbers it may return."""
        kinds = [kind.replace("/", "_") for kind in ANSWER_TYPES] if self.has_types else []
        return [*self.numbers, *(f"{word}_{kind}" for kind in kinds for word in ("accuracy", "num_texts"))]


_FIELDS = ("scores", "targets", "item_index", "readable")
_RANKS = (*(f"r{depth}" for depth in RECALL_DEPTHS), "median_rank", "mean_rank", "num_ties")
_ITEMS = ("num_items", "num_unreadable")
_ANSWERS = ("accuracy", "num_unknown", "num_texts", *_ITEMS)

#: Registered key -> metric.
METRICS: dict[str, Metric] = {
    "clipbert_retrieval": Metric(
        measure_retrieval,
        _FIELDS,
        (*(f"{way}_{name}" for way in ("t2v", "v2t") for name in _RANKS), *_ITEMS),
        optional=("similarity", "chosen_for_texts", "chosen_for_videos"),
    ),
    "clipbert_answers": Metric(
        measure_answers, (*_FIELDS, "text_index", "answer_type"), _ANSWERS, has_types=True
    ),
    "clipbert_vqa": Metric(
        measure_soft_answers, (*_FIELDS, "text_index", "answer_type"), _ANSWERS, has_types=True
    ),
    "clipbert_count": Metric(
        measure_counts, (*_FIELDS, "text_index"), ("accuracy", "mse", "num_texts", *_ITEMS)
    ),
    "clipbert_pretraining": Metric(
        measure_pretraining,
        (*_FIELDS, "text_index", "mlm_right", "mlm_total"),
        ("itm_accuracy", "mlm_accuracy", "num_texts", *_ITEMS),
    ),
}


def split_metric_name(name: str) -> tuple[str, str, str]:
    """Return split, dataset and ``<metric>/<name>`` of a number's full name.

    The first two are empty where it has none.

    A number is called ``<split>/<dataset>/<metric>/<name>``, or ``<split>/<dataset>/<metric>`` for MMF's own
    metrics.
    """
    parts = name.split("/", 2)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("", "", name)
