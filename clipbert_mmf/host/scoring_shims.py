"""What has to be mended in the release's losses and metrics, so that a configuration means what it means in main.

Listed in ``shims.SHIMS``.
"""

from __future__ import annotations

import collections.abc
import functools
from types import ModuleType

from clipbert_mmf.settings import read_setting


def keep_metric_params(module: ModuleType) -> None:
    """release: ``params`` of a metric are dropped, its ``key`` and ``datasets`` too. Goes with release."""
    from clipbert_mmf.host.flavour import mmf_flavour

    if mmf_flavour() != "release":
        return
    init, call = module.Metrics._init_metrics, module.Metrics.__call__

    @functools.wraps(call)
    def __call__(self, sample_list, *args, **kwargs):
        every = self.metrics
        self.metrics = {
            name: metric
            for name, metric in every.items()
            if sample_list.dataset_name
            in (getattr(metric, "applicable_datasets", None) or [sample_list.dataset_name])
        }
        try:
            return call(self, sample_list, *args, **kwargs)
        finally:
            self.metrics = every

    @functools.wraps(init)
    def _init_metrics(self, metric_list):
        metrics = init(self, metric_list)
        for entry in metric_list:
            if not isinstance(entry, collections.abc.Mapping):
                continue
            name, params, key = entry["type"], read_setting(entry, "params"), read_setting(entry, "key")
            datasets = read_setting(entry, "datasets")
            if params or key or datasets:
                metric = module.registry.get_metric_class(name)(**(params or {}))
                metric.applicable_datasets = list(datasets or ())
                metrics.pop(name, None)
                metrics[key or name] = metric
                self.required_params.update(metric.required_params)
        return metrics

    module.Metrics._init_metrics, module.Metrics.__call__ = _init_metrics, __call__


def keep_losses_to_their_datasets(module: ModuleType) -> None:
    """release: a loss is computed for every dataset, whatever its attribute ``datasets`` says. Goes with release."""
    from clipbert_mmf.host.flavour import mmf_flavour

    if mmf_flavour() != "release":
        return
    compute = module.MMFLoss.forward

    @functools.wraps(compute)
    def forward(self, sample_list, *args, **kwargs):
        datasets = getattr(self.loss_criterion, "datasets", None)
        if isinstance(datasets, list) and sample_list.dataset_name not in datasets:
            return {}
        return compute(self, sample_list, *args, **kwargs)

    module.MMFLoss.forward = forward
