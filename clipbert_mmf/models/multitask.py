"""One trunk and a head per dataset, for runs over several datasets.

``assembly`` builds it from ``model_config.clipbert.heads``; each batch is of one dataset, which names its head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from clipbert_mmf.models.network import ClipBertNetwork


class Task(NamedTuple):
    """How the pairs of one dataset are scored.

    Attributes:
        head: name of the head; several datasets may share one.
        fold: how clips become one row, a key of ``FOLDS``.
        group_options: whether the scores of a video's N texts are one row (multiple choice).
        contrasts: whether its texts match a video or not, which the contrastive head learns from.
    """

    head: str
    fold: str
    group_options: bool
    contrasts: bool = False


class MultiTaskNetwork(ClipBertNetwork):
    """``ClipBertNetwork`` whose head depends on the dataset; everything before it is shared.

    Args:
        heads: by name; parameters are called ``head.<name>.*``.
        tasks: by dataset.
        parts: as ``ClipBertNetwork`` has them.
    """

    def __init__(self, heads: Mapping[str, nn.Module], tasks: Mapping[str, Task], **parts):
        super().__init__(head=nn.ModuleDict(heads), **parts)
        self.tasks = dict(tasks)

    def for_dataset(self, dataset: str) -> ClipBertNetwork:
        """Return the network of one dataset, made of this one's modules.

        Raises:
            ValueError: if the dataset has no head.
        """
        if dataset not in self.tasks:
            raise ValueError(
                f"a batch is of dataset '{dataset}', for which model_config.clipbert.heads has no head; "
                f"it has {sorted(self.tasks)}"
            )
        task = self.tasks[dataset]
        view = ClipBertNetwork.__new__(ClipBertNetwork)
        view.__dict__.update(self.__dict__)
        view._modules = {
            **self._modules,
            "head": self.head[task.head],
            "contrastive": self.contrastive if task.contrasts else None,
        }
        view.fold, view.group_options = task.fold, task.group_options
        return view

    def forward(self, *batch: Tensor, dataset: str) -> dict[str, Tensor]:
        """Score a batch of one dataset; arguments and result are ``ClipBertNetwork.forward``'s."""
        return self.for_dataset(dataset).forward(*batch)
