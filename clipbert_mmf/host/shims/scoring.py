"""Compatibility patches for the release's losses, metrics and reports, so that it reads configurations as main does."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any


def keep_metric_params(module: Any) -> None:
    """Heed ``params``, ``key`` and ``datasets`` of a metric, which MMF drops. Remove with the release."""
    init = module.Metrics._init_metrics

    @functools.wraps(init)
    def init_metrics(self: Any, metric_list: Any) -> dict[str, Any]:
        metrics = init(self, metric_list)
        for entry in metric_list:
            if not isinstance(entry, Mapping):
                continue
            # OmegaConf 2.0 raises in "get" where a section is closed to new keys, as MMF's are.
            given = dict(entry)
            name, params = given["type"], given.get("params")
            key, datasets = given.get("key"), given.get("datasets")
            if params or key or datasets:
                metric = module.registry.get_metric_class(name)(**(params or {}))
                metric.applicable_datasets = list(datasets or ())
                metrics.pop(name, None)
                metrics[key or name] = metric
                self.required_params.update(metric.required_params)
        return metrics

    module.Metrics._init_metrics = init_metrics


def accept_mappings_of_metrics(module: Any) -> None:
    """Name the numbers of a metric that returns a mapping ``<metric>/<name>``, as main does.

    MMF makes one tensor of whatever a metric returns, so a mapping raises. A metric that
    ``keep_metric_params`` gave ``datasets`` is computed for these alone. Remove with the release.
    """
    torch = module.torch

    def call(self: Any, sample_list: Any, model_output: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        split, dataset = sample_list.dataset_type, sample_list.dataset_name
        values = {}
        with torch.no_grad():
            for name, metric in self.metrics.items():
                if dataset not in (getattr(metric, "applicable_datasets", None) or [dataset]):
                    continue
                result = metric._calculate_with_checks(sample_list, model_output, *args, **kwargs)
                for part, value in (result if isinstance(result, Mapping) else {"": result}).items():
                    value = torch.as_tensor(value).float()
                    key = "/".join((split, dataset, name, part) if part else (split, dataset, name))
                    values[key] = value.view(1) if value.dim() == 0 else value
        module.registry.register(f"metrics.{dataset}.{split}", values)
        return values

    module.Metrics.__call__ = call


def accumulate_present_fields(module: Any) -> None:
    """Leave out fields that a metric requires and a dataset does not have, as main does.

    Several datasets in one run have different fields and every metric's are asked for; MMF raises
    ``AttributeError``. Remove with the release.
    """
    accumulate = module.Report.accumulate_tensor_fields

    @functools.wraps(accumulate)
    def accumulate_present(self: Any, report: Any, field_list: Iterable[str]) -> None:
        accumulate(self, report, [name for name in field_list if name in self])

    module.Report.accumulate_tensor_fields = accumulate_present


def keep_losses_to_their_datasets(module: Any) -> None:
    """Compute a loss for the datasets of its attribute ``datasets`` alone; MMF ignores it.

    Remove with the release.
    """
    compute = module.MMFLoss.forward

    @functools.wraps(compute)
    def forward(self: Any, sample_list: Any, *args: Any, **kwargs: Any) -> Any:
        datasets = getattr(self.loss_criterion, "datasets", None)
        if isinstance(datasets, list) and sample_list.dataset_name not in datasets:
            return {}
        return compute(self, sample_list, *args, **kwargs)

    module.MMFLoss.forward = forward
