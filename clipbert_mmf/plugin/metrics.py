"""Metrics registered with MMF, one key per number: the release drops a metric's parameters.

Each gathers all ranks' items, drops those a sampler repeated to fill a batch, and calls ``scoring``; so one process and
several give the same numbers. Items that could not be read count as misses or as wrong. Shares (recall, accuracy) are
0 to 1, ranks start at 1.
"""

from __future__ import annotations

import weakref

import torch
from mmf.common.registry import registry
from mmf.modules.metrics import BaseMetric
from torch import Tensor

from clipbert_mmf.scoring import answers
from clipbert_mmf.scoring.gathering import first_of_each, gather_rows, index_of_texts
from clipbert_mmf.scoring.ranking import match_margin, summarize_retrieval
from clipbert_mmf.shapes import ANSWER_TYPES, PADDING_TEXT, UNKNOWN_ANSWER


def _version_of(field: Tensor) -> int:
    return 0 if field.is_inference() else field._version


def _are_same(marks: list, fields: list[Tensor | None]) -> bool:
    return all(
        mark is field
        if mark is None or field is None
        else mark[0]() is field and mark[1] == _version_of(field)
        for mark, field in zip(marks, fields)
    )


class ClipBertMetric(BaseMetric):
    """Shares one summary among the keys that read it, since MMF asks for each number on its own.

    A subclass is a family: the fields it reads from the report, and how all its numbers follow from them.
    """

    FIELDS: tuple[str, ...] = ("scores", "targets", "item_index", "readable")
    #: Fields that only some tasks have; ``None`` where they are absent.
    OPTIONAL: tuple[str, ...] = ()
    _last: tuple[list, object] | None = None

    def __init__(self, name: str, *args, **kwargs):
        super().__init__(name)
        self.required_params = [*self.FIELDS, *self.OPTIONAL]

    def calculate(self, sample_list, model_output, *args, **kwargs):
        """Return the number of this key as a tensor."""
        return torch.tensor(float(self.pick(self.read_summary(sample_list))))

    def pick(self, summary) -> float:
        """Return this key's number."""
        raise NotImplementedError

    @classmethod
    def read_summary(cls, report):
        """Return the family's numbers of a report, computed when its first key asks."""
        fields = [report[name] for name in cls.FIELDS]
        fields += [report[name] if name in report else None for name in cls.OPTIONAL]
        family = cls.family()
        # One evaluation gives every key the same tensors. Weak references neither keep a score matrix alive nor
        # mistake a new tensor for the old one.
        if family._last is None or not _are_same(family._last[0], fields):
            marks = [None if field is None else (weakref.ref(field), _version_of(field)) for field in fields]
            family._last = (marks, cls.summarize(*fields))
        return family._last[1]

    @classmethod
    def family(cls) -> type[ClipBertMetric]:
        """The class that holds the shared summary."""
        raise NotImplementedError

    @classmethod
    def summarize(cls, *fields: Tensor):
        """Compute all numbers of the family."""
        raise NotImplementedError


class RetrievalMetric(ClipBertMetric):
    """Ranks in the full matrix of videos and texts; recall is a share, 0 to 1.

    In two-stage retrieval only pairs that ``chosen_for_texts`` or ``chosen_for_videos`` mark have scores; the others rank behind
    them by ``similarity``.
    """

    OPTIONAL = ("similarity", "chosen_for_texts", "chosen_for_videos")

    @classmethod
    def family(cls):
        return RetrievalMetric

    @classmethod
    def summarize(cls, scores, targets, item_index, readable, *candidates):
        matrix = gather_rows(match_margin(scores.float().view(*targets.shape, 2)))
        matches, readable = gather_rows(targets).bool(), gather_rows(readable).bool()
        kept = first_of_each(gather_rows(item_index))
        matrix, matches, readable = matrix[kept], matches[kept], readable[kept]
        if candidates[0] is not None:
            candidates = tuple(gather_rows(field)[kept] for field in candidates)
        text_to_video, video_to_text = summarize_retrieval(
            matrix, matches, readable, None if candidates[0] is None else candidates
        )
        return {"t2v": text_to_video, "v2t": video_to_text, "readable": readable}


class PairMetric(ClipBertMetric):
    """A score for each pair, averaged; texts that only filled a batch do not count, unreadable items score 0."""

    OPTIONAL = ("text_index", "answer_type")

    @classmethod
    def family(cls):
        return PairMetric

    @classmethod
    def score_pairs(cls, scores, targets, readable) -> dict[str, Tensor]:
        """Return ``(P,)`` scores by name, from ``scores`` (P, A), the targets of the pairs and ``(P,)`` bool."""
        return {"accuracy": answers.score_classes(scores, targets) * readable}

    @classmethod
    def flatten_targets(cls, targets: Tensor) -> tuple[Tensor, int]:
        """Return the targets of the P pairs and N; multiple choice has one target per item."""
        return targets.flatten(), targets.shape[1] if targets.dim() > 1 else 1

    @classmethod
    def summarize(cls, scores, targets, item_index, readable, text_index, answer_type):
        targets, num_texts = cls.flatten_targets(targets)
        if text_index is None:
            text_index = index_of_texts(item_index, num_texts)
        pair_scores = cls.score_pairs(scores.float(), targets, readable.bool().repeat_interleave(num_texts))
        index = gather_rows(text_index.flatten())
        kept = first_of_each(index)
        kept = kept[index[kept] != PADDING_TEXT]
        items = first_of_each(gather_rows(item_index))
        pair_scores = {name: gather_rows(values)[kept] for name, values in pair_scores.items()}
        summary = {name: float(values.mean()) for name, values in pair_scores.items()}
        if targets.dim() == 1 and not targets.is_floating_point():
            summary["num_unknown"] = int((gather_rows(targets)[kept] == UNKNOWN_ANSWER).sum())
        if answer_type is not None and "accuracy" in pair_scores:
            types = gather_rows(answer_type.flatten())[kept]
            for index, name in enumerate(ANSWER_TYPES):
                of_type = pair_scores["accuracy"][types == index]
                summary[f"num_texts_{name}"] = len(of_type)
                summary[f"accuracy_{name}"] = float(of_type.mean()) if len(of_type) else 0.0
        return {**summary, "num_texts": len(kept), "readable": gather_rows(readable)[items].bool()}


class PairCounts(PairMetric):
    """How many items and texts there were, whatever their targets are."""

    @classmethod
    def family(cls):
        return PairCounts

    @classmethod
    def score_pairs(cls, scores, targets, readable):
        return {}


class SoftAnswerMetric(PairMetric):
    """VQA's official score of each answer."""

    @classmethod
    def family(cls):
        return SoftAnswerMetric

    @classmethod
    def score_pairs(cls, scores, targets, readable):
        return {"accuracy": answers.score_soft_answers(scores, targets) * readable}

    @classmethod
    def flatten_targets(cls, targets):
        # (B, A) with MMF's layout: one question an item.
        return (targets.flatten(0, 1), targets.shape[1]) if targets.dim() == 3 else (targets, 1)


class CountMetric(PairMetric):
    """Counts: right after rounding, and the squared error."""

    @classmethod
    def family(cls):
        return CountMetric

    @classmethod
    def score_pairs(cls, scores, targets, readable):
        return {
            "accuracy": answers.score_counts(scores, targets) * readable,
            "squared_error": answers.square_count_errors(scores, targets, readable),
        }


class WordMetric(ClipBertMetric):
    """Hidden words found, over all texts."""

    FIELDS = ("mlm_right", "mlm_total", "item_index")
    OPTIONAL = ("text_index",)

    @classmethod
    def family(cls):
        return WordMetric

    @classmethod
    def summarize(cls, right, total, item_index, text_index):
        if text_index is None:
            text_index = index_of_texts(item_index, len(right) // len(item_index))
        index = gather_rows(text_index.flatten())
        kept = first_of_each(index)
        kept = kept[index[kept] != PADDING_TEXT]
        right, total = gather_rows(right)[kept], gather_rows(total)[kept]
        return {"accuracy": float(right.sum()) / max(1, int(total.sum()))}


def _register(name: str, family: type[ClipBertMetric], pick) -> None:
    """Register one number of a family under its own key."""

    class Metric(family):
        def __init__(self, *args, **kwargs):
            super().__init__(name)

        def pick(self, summary):
            return pick(summary)

    Metric.__name__ = Metric.__qualname__ = "".join(word.title() for word in name.split("_"))
    registry.register_metric(name)(Metric)


for _direction in ("t2v", "v2t"):
    for _depth in (1, 5, 10):
        _register(
            f"clipbert_{_direction}_r{_depth}",
            RetrievalMetric,
            lambda summary, d=_direction, k=_depth: summary[d].recall[k],
        )
    for _field in ("median_rank", "mean_rank", "num_ties"):
        _register(
            f"clipbert_{_direction}_{_field}",
            RetrievalMetric,
            lambda summary, d=_direction, f=_field: getattr(summary[d], f),
        )
for _prefix, _family in (("clipbert_", RetrievalMetric), ("clipbert_pair_", PairCounts)):
    _register(f"{_prefix}num_items", _family, lambda summary: len(summary["readable"]))
    _register(f"{_prefix}num_unreadable", _family, lambda summary: int((~summary["readable"]).sum()))
_register("clipbert_accuracy", PairMetric, lambda summary: summary["accuracy"])
_register("clipbert_itm_accuracy", PairMetric, lambda summary: summary["accuracy"])
_register("clipbert_pair_num_texts", PairCounts, lambda summary: summary["num_texts"])
_register("clipbert_num_unknown_answers", PairMetric, lambda summary: summary["num_unknown"])
for _type in ANSWER_TYPES:
    _key = _type.replace("/", "_")
    for _prefix, _family in (("clipbert", PairMetric), ("clipbert_vqa", SoftAnswerMetric)):
        _register(f"{_prefix}_accuracy_{_key}", _family, lambda summary, t=_type: summary[f"accuracy_{t}"])
        _register(f"{_prefix}_num_texts_{_key}", _family, lambda summary, t=_type: summary[f"num_texts_{t}"])
_register("clipbert_vqa_accuracy", SoftAnswerMetric, lambda summary: summary["accuracy"])
_register("clipbert_count_accuracy", CountMetric, lambda summary: summary["accuracy"])
_register("clipbert_count_mse", CountMetric, lambda summary: summary["squared_error"])
_register("clipbert_mlm_accuracy", WordMetric, lambda summary: summary["accuracy"])
