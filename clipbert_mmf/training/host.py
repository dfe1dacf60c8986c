"""Declares what the loops ask of the program they run in.

``plugin.trainer_main`` and ``trainer_release`` implement it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from torch.utils.data import DataLoader

from clipbert_mmf.models.network import DatasetNetwork
from clipbert_mmf.scoring.outcomes import Outcomes


class Report(Protocol):
    """Holds the fields of a batch and of the model's output, by name; the host has its own class."""

    def __getitem__(self, key: str, /) -> Any: ...

    def __setitem__(self, key: str, value: Any, /) -> None: ...

    def get(self, key: str, /) -> Any:
        """Return a field, or None where there is none."""
        ...

    def keys(self) -> Iterable[str]:
        """Return the names of the fields."""
        ...

    def get_batch_size(self) -> int:
        """Return the number of items."""
        ...


class Host(Protocol):
    """Builds datasets, moves batches, measures and passes numbers on."""

    def list_loaders(self, split: str) -> Mapping[str, DataLoader[Any]]:
        """Return the loader of each dataset of a split, by the name of the dataset."""
        ...

    def prepare_batch(self, batch: Any, dataset: Any, name: str, split: str) -> Any:
        """Return a batch of a dataset on the device."""
        ...

    def make_report(self, batch: Any, output: Any) -> Report:
        """Return the fields of a batch and of the model's output."""
        ...

    def make_split_report(self, name: str, split: str, fields: Mapping[str, Any], num_items: int) -> Report:
        """Return a report of all items of a split."""
        ...

    def list_metric_fields(self) -> set[str]:
        """Return the names of the fields that the configured metrics ask for."""
        ...

    def compute_metrics(self, report: Report) -> dict[str, Tensor]:
        """Return the configured metrics of a report, by key."""
        ...

    def trace_metrics(self, report: Report) -> dict[str, Outcomes]:
        """Return the outcomes that metrics are means of, by the keys of ``compute_metrics``.

        A metric that cannot tell them is left out.
        """
        ...

    def compute_losses(self, report: Report) -> dict[str, Tensor]:
        """Return the losses of the model on a report that has its scores, by key."""
        ...

    def find_network(self, name: str) -> DatasetNetwork | None:
        """Return the part of the model that scores the pairs of a dataset.

        None for a model of another kind.
        """
        ...

    def write_predictions(self, split: str, predict: Callable[[DataLoader[Any]], Sequence[Any]]) -> None:
        """Write one file of predictions for each dataset of a split.

        Args:
            split: ``val`` or ``test``.
            predict: returns the predictions of a dataset on rank 0 and nothing elsewhere; every process calls
                it.
        """
        ...

    def describe_checkpoint(self) -> dict[str, Any]:
        """Return plain values that a checkpoint keeps beside the run's own.

        Configuration, state of the code.
        """
        ...

    def set_globals(self, **values: Any) -> None:
        """Publish values that code of users looks up by name, such as ``num_updates``."""
        ...

    def call_hook(
        self,
        name: str,
        report: Report | None = None,
        numbers: Mapping[str, float] | None = None,
        **arguments: Any,
    ) -> None:
        """Call the user's callbacks.

        Args:
            name: the hook's name, such as ``on_update_end``.
            report: the last batch's or split's.
            numbers: losses and metrics of an evaluation; None in training.
            **arguments: further arguments of this hook.
        """
        ...

    def log_scalars(self, scalars: Mapping[str, float], update: int, losses: Mapping[str, float]) -> None:
        """Pass numbers on to TensorBoard and the like.

        Args:
            scalars: what to pass on.
            update: to which they belong.
            losses: training losses among them, which callbacks see as running means; empty for an evaluation.
        """
        ...

    def log_checkpoint(self, file: Path) -> None:
        """Pass a written checkpoint on to Weights & Biases, where the run says so; rank 0 calls it."""
        ...
