"""Register the metrics of ``scoring.metrics`` with MMF.

Each returns a dictionary, named ``<metric>/<name>`` by MMF.

Every metric works in MMF's own evaluation loop: what it requires is in every evaluated batch of its tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmf.common.registry import registry
from mmf.modules.metrics import BaseMetric
from torch import Tensor

from clipbert_mmf.scoring.metrics import METRICS, Metric
from clipbert_mmf.scoring.outcomes import Measured, Outcomes, read_outcomes


class ClipBertMetric(BaseMetric):
    """Reads the fields of a metric from the report and returns its numbers."""

    metric: Metric
    key: str

    def __init__(self) -> None:
        super().__init__(self.key)
        self.required_params = list(self.metric.required)

    def calculate(
        self, sample_list: Mapping[str, Any], model_output: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Return float32 scalars by name, on the device of the scores.

        Args:
            sample_list: report of an evaluation, or the batch in training.
            model_output: the same report.
            *args: unused, MMF's signature.
            **kwargs: unused, MMF's signature.
        """
        device = sample_list["scores"].device
        numbers = self._measure(sample_list)
        return {name: torch.tensor(value, device=device) for name, value in numbers.items()}

    def trace(self, report: Mapping[str, Any]) -> dict[str, Outcomes]:
        """Return the outcomes that the numbers are means of, by name of the number.

        Args:
            report: of an evaluation, as ``calculate`` reads it.
        """
        return read_outcomes(self._measure(report))

    def _measure(self, report: Mapping[str, Any]) -> Measured:
        # A training batch numbers no texts; two-stage retrieval alone has similarities.
        names = [name for name in (*self.metric.required, *self.metric.optional) if name in report]
        return self.metric.measure(**{name: report[name] for name in names})


for _key, _metric in METRICS.items():
    _title = "".join(word.title() for word in _key.split("_"))
    registry.register_metric(_key)(
        type(f"{_title}Metric", (ClipBertMetric,), {"key": _key, "metric": _metric, "__module__": __name__})
    )
