"""Metrics registered with MMF, one key per number: the release drops a metric's parameters.

Each gathers all ranks' items, drops those a sampler repeated to fill a batch, and calls ``scoring``; so one process and
several give the same numbers. Items that could not be read count as misses or as wrong.
"""

from __future__ import annotations

import torch
from mmf.common.registry import registry
from mmf.modules.metrics import BaseMetric
from torch import Tensor

from clipbert_mmf.scoring.ranking import summarize_retrieval
from clipbert_mmf.shapes import PADDING_TEXT


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate a tensor of all ranks along dimension 0, whatever their lengths."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return rows
    gathered: list[Tensor | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, rows.cpu())
    return torch.cat(gathered).to(rows.device)


def first_of_each(index: Tensor) -> Tensor:
    """Return the position of the first occurrence of each index, ascending by index."""
    order = torch.argsort(index, stable=True)
    ascending = index[order]
    is_first = torch.ones_like(ascending, dtype=torch.bool)
    is_first[1:] = ascending[1:] != ascending[:-1]
    return order[is_first]


class ClipBertMetric(BaseMetric):
    """Shares one summary among the keys that read it, since MMF asks for each number on its own."""

    FIELDS: tuple[str, ...] = ("scores", "targets", "item_index", "readable")
    _last: tuple[tuple[int, ...], object] | None = None

    def __init__(self, name: str, *args, **kwargs):
        super().__init__(name)
        self.required_params = list(self.FIELDS)

    def calculate(self, sample_list, model_output, *args, **kwargs):
        """Return the number of this key as a tensor."""
        return torch.tensor(float(self.pick(self._summary(sample_list))))

    def pick(self, summary) -> float:
        """Return this key's number."""
        raise NotImplementedError

    @classmethod
    def _summary(cls, report):
        fields = [report[name] for name in cls.FIELDS]
        # The report of one evaluation is the same tensors for every key; all ranks ask in the same order.
        mark = tuple(id(field) for field in fields) + tuple(field._version for field in fields)
        family = cls.family()
        if family._last is None or family._last[0] != mark:
            # The tensors are kept with their summary, so that their identities cannot be given to others.
            family._last = (mark, cls.summarize(*fields), fields)
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
    """Ranks in the full matrix of videos and texts; recall is a share, 0 to 1."""

    @classmethod
    def family(cls):
        return RetrievalMetric

    @classmethod
    def summarize(cls, scores, targets, item_index, readable):
        # The difference of the logits orders as the softmax does and does not saturate into ties.
        scores = scores.float().view(*targets.shape, 2)
        matrix = gather_rows(scores[..., 1] - scores[..., 0])
        matches, readable = gather_rows(targets).bool(), gather_rows(readable).bool()
        kept = first_of_each(gather_rows(item_index))
        matrix, matches, readable = matrix[kept], matches[kept], readable[kept]
        text_to_video, video_to_text = summarize_retrieval(matrix, matches, readable)
        return {"t2v": text_to_video, "v2t": video_to_text, "readable": readable}


class PairMetric(ClipBertMetric):
    """Right or wrong, pair by pair; texts that only filled a batch do not count, unreadable items count as wrong."""

    @classmethod
    def family(cls):
        return PairMetric

    @classmethod
    def _summary(cls, report):
        if "text_index" not in report:
            report["text_index"] = torch.arange(report["targets"].numel(), device=report["targets"].device).view(
                report["targets"].shape
            )
        return super()._summary(report)

    FIELDS = ("scores", "targets", "item_index", "readable", "text_index")

    @classmethod
    def summarize(cls, scores, targets, item_index, readable, text_index):
        right = (scores.argmax(-1).view(targets.shape) == targets) & (readable.view(-1, *[1] * (targets.dim() - 1)) == 1)
        index = gather_rows(text_index).flatten()
        right, kept = gather_rows(right).flatten(), first_of_each(index)
        kept = kept[index[kept] != PADDING_TEXT]
        items = first_of_each(gather_rows(item_index))
        return {"accuracy": float(right[kept].double().mean()), "readable": gather_rows(readable)[items].bool()}


class WordMetric(ClipBertMetric):
    """Hidden words found, over all texts."""

    FIELDS = ("mlm_right", "mlm_total", "item_index", "readable")

    @classmethod
    def family(cls):
        return WordMetric

    @classmethod
    def summarize(cls, right, total, item_index, readable):
        items = len(item_index)
        right, total = right.view(items, -1).sum(1), total.view(items, -1).sum(1)
        kept = first_of_each(gather_rows(item_index))
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
        _register(f"clipbert_{_direction}_r{_depth}", RetrievalMetric,
                  lambda summary, d=_direction, k=_depth: summary[d].recall[k])
    for _field in ("median_rank", "mean_rank", "num_ties"):
        _register(f"clipbert_{_direction}_{_field}", RetrievalMetric,
                  lambda summary, d=_direction, f=_field: getattr(summary[d], f))
for _prefix, _family in (("clipbert_", RetrievalMetric), ("clipbert_pair_", PairMetric)):
    _register(f"{_prefix}num_items", _family, lambda summary: len(summary["readable"]))
    _register(f"{_prefix}num_unreadable", _family, lambda summary: int((~summary["readable"]).sum()))
_register("clipbert_accuracy", PairMetric, lambda summary: summary["accuracy"])
_register("clipbert_itm_accuracy", PairMetric, lambda summary: summary["accuracy"])
_register("clipbert_mlm_accuracy", WordMetric, lambda summary: summary["accuracy"])
