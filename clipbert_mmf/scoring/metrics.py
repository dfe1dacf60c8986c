"""Compute the numbers of an evaluation from its report, one function per family of tasks.

Each function gathers the rows of all ranks, drops rows that a sampler repeated to fill a batch, and returns
numbers by name, so that one process and several give the same result. Unreadable media count as misses or as
wrong answers. Recall and accuracy are 0 to 1, ranks start at 1. ``plugin.metrics`` registers the families
with MMF.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from clipbert_mmf.scoring import answers
from clipbert_mmf.scoring.gathering import first_of_each, gather_rows, index_of_texts
from clipbert_mmf.scoring.ranking import RECALL_DEPTHS, RankSummary, match_margin, summarize_retrieval
from clipbert_mmf.shapes import ANSWER_TYPES, PADDING_TEXT, UNKNOWN_ANSWER


def measure_retrieval(
    scores: Tensor,
    targets: Tensor,
    item_index: Tensor,
    readable: Tensor,
    similarity: Tensor | None = None,
    chosen_for_texts: Tensor | None = None,
    chosen_for_videos: Tensor | None = None,
) -> dict[str, float]:
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
    kept = first_of_each(gather_rows(item_index))

    def collect(rows: Tensor) -> Tensor:
        return gather_rows(rows)[kept]

    matrix = collect(match_margin(scores.float().view(*targets.shape, 2)))
    matches, can_read = collect(targets).bool(), collect(readable).bool()
    candidates = None
    if similarity is not None and chosen_for_texts is not None and chosen_for_videos is not None:
        candidates = (collect(similarity), collect(chosen_for_texts), collect(chosen_for_videos))
    to_video, to_text = summarize_retrieval(matrix, matches, can_read, candidates)
    return {**name_ranks("t2v", to_video), **name_ranks("v2t", to_text), **count_items(can_read)}


def name_ranks(direction: str, summary: RankSummary) -> dict[str, float]:
    """Return the numbers of one direction (``t2v`` or ``v2t``) by name."""
    return {
        **{f"{direction}_r{depth}": summary.recall[depth] for depth in RECALL_DEPTHS},
        f"{direction}_median_rank": summary.median_rank,
        f"{direction}_mean_rank": summary.mean_rank,
        f"{direction}_num_ties": float(summary.num_ties),
    }


def count_items(readable: Tensor) -> dict[str, float]:
    """Return ``num_items`` and ``num_unreadable`` of ``(items,)`` bool."""
    return {"num_items": float(len(readable)), "num_unreadable": float((~readable).sum())}


def name_answer_types(accuracy: Tensor, answer_type: Tensor) -> dict[str, float]:
    """Return ``accuracy_<type>`` and ``num_texts_<type>`` of the types that occur.

    Args:
        accuracy: ``(texts,)`` float, 0 to 1.
        answer_type: ``(texts,)`` int64, indices into ``ANSWER_TYPES``; -1 for a text without a type.
    """
    numbers: dict[str, float] = {}
    for index, name in enumerate(ANSWER_TYPES):
        of_type = accuracy[answer_type == index]
        if len(of_type):
            key = name.replace("/", "_")
            numbers[f"accuracy_{key}"] = float(of_type.mean())
            numbers[f"num_texts_{key}"] = float(len(of_type))
    return numbers


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
) -> dict[str, float]:
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
) -> dict[str, float]:
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
    texts = _Texts(item_index, readable, text_index, len(scores) // len(targets))
    right = texts.collect(answers.score_soft_answers(scores.float(), rows) * texts.readable)
    return _name_answers(texts, right, ~(rows > 0).any(-1), answer_type)


def _name_answers(
    texts: _Texts, right: Tensor, unknown: Tensor, answer_type: Tensor | None
) -> dict[str, float]:
    types = {} if answer_type is None else name_answer_types(right, texts.collect(answer_type))
    num_unknown = float(texts.collect(unknown).sum())
    return {"accuracy": float(right.mean()), "num_unknown": num_unknown, **texts.counts, **types}


def measure_counts(
    scores: Tensor,
    targets: Tensor,
    item_index: Tensor,
    readable: Tensor,
    text_index: Tensor | None = None,
) -> dict[str, float]:
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
    texts = _Texts(item_index, readable, text_index, len(scores) // len(targets))
    right = texts.collect(answers.score_counts(scores, counts) * texts.readable)
    errors = texts.collect(answers.square_count_errors(scores, counts, texts.readable))
    return {"accuracy": float(right.mean()), "mse": float(errors.mean()), **texts.counts}


def measure_pretraining(
    scores: Tensor,
    targets: Tensor,
    item_index: Tensor,
    readable: Tensor,
    mlm_right: Tensor,
    mlm_total: Tensor,
    text_index: Tensor | None = None,
) -> dict[str, float]:
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
    texts = _Texts(item_index, readable, text_index, len(scores) // len(targets))
    right = texts.collect(answers.score_classes(scores.float(), targets.flatten()) * texts.readable)
    found, hidden = int(texts.collect(mlm_right).sum()), int(texts.collect(mlm_total).sum())
    return {"itm_accuracy": float(right.mean()), "mlm_accuracy": found / max(1, hidden), **texts.counts}


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    Attributes:
        measure: returns numbers by name; its arguments are the fields.
        required: fields of the report that every evaluated batch of the metric's tasks has.
        optional: fields that only the registered trainer's matrix of pairs has.
    """

    measure: Callable[..., dict[str, float]]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


_FIELDS = ("scores", "targets", "item_index", "readable")

#: Registered key -> metric.
METRICS: dict[str, Metric] = {
    "clipbert_retrieval": Metric(
        measure_retrieval, _FIELDS, ("similarity", "chosen_for_texts", "chosen_for_videos")
    ),
    "clipbert_answers": Metric(measure_answers, (*_FIELDS, "text_index", "answer_type")),
    "clipbert_vqa": Metric(measure_soft_answers, (*_FIELDS, "text_index", "answer_type")),
    "clipbert_count": Metric(measure_counts, (*_FIELDS, "text_index")),
    "clipbert_pretraining": Metric(measure_pretraining, (*_FIELDS, "text_index", "mlm_right", "mlm_total")),
}


def split_metric_name(name: str) -> tuple[str, str, str]:
    """Return split, dataset and ``<metric>/<name>`` of a number's full name.

    The first two are empty where it has none.

    A number is called ``<split>/<dataset>/<metric>/<name>``, or ``<split>/<dataset>/<metric>`` for MMF's own
    metrics.
    """
    parts = name.split("/", 2)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("", "", name)
