"""Refuse the metric and loss keys of version 0.1, each with the name it has now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clipbert_mmf.configuration import ConfigurationError, to_plain
from clipbert_mmf.shapes import ANSWER_TYPES

#: Types of answers that version 0.1 had; later ones follow.
_NUM_OLD_TYPES = 11


def _list_metrics() -> Iterator[tuple[str, str]]:
    retrieval = ["r1", "r5", "r10", "median_rank", "mean_rank", "num_ties"]
    for name in (
        *(f"{way}_{name}" for way in ("t2v", "v2t") for name in retrieval),
        "num_items",
        "num_unreadable",
    ):
        yield f"clipbert_{name}", f"clipbert_retrieval/{name}"
    for name in ("num_items", "num_unreadable", "num_texts"):
        yield f"clipbert_pair_{name}", f"clipbert_answers/{name}"
    types = [kind.replace("/", "_") for kind in ANSWER_TYPES[:_NUM_OLD_TYPES]]
    for name in ("accuracy", *(f"{word}_{kind}" for word in ("accuracy", "num_texts") for kind in types)):
        yield f"clipbert_{name}", f"clipbert_answers/{name}"
        yield f"clipbert_vqa_{name}", f"clipbert_vqa/{name}"
    yield "clipbert_num_unknown_answers", "clipbert_answers/num_unknown"
    yield "clipbert_count_accuracy", "clipbert_count/accuracy"
    yield "clipbert_count_mse", "clipbert_count/mse"
    yield "clipbert_itm_accuracy", "clipbert_pretraining/itm_accuracy"
    yield "clipbert_mlm_accuracy", "clipbert_pretraining/mlm_accuracy"


#: Key of version 0.1 -> ``<metric>/<name>`` of its number.
OLD_METRICS = dict(_list_metrics())
OLD_LOSSES = {"clipbert_count_mse": "clipbert_count_loss"}


def refuse_old_names(config: Mapping[str, Any]) -> None:
    """Refuse old keys in ``evaluation.metrics``, ``training.early_stop.criteria`` and the losses of models.

    Args:
        config: the whole configuration of a run.

    Raises:
        ConfigurationError: naming the key, what stands there and what to write; also for metrics that are no list.
    """
    metrics = _read(config, "evaluation", "metrics")
    if isinstance(metrics, str):
        raise ConfigurationError(
            f"evaluation.metrics is the word '{metrics}'; expected a list: evaluation.metrics=[{metrics}]"
        )
    for where, key in _list_types("evaluation.metrics", metrics):
        if key in OLD_METRICS:
            metric, _, name = OLD_METRICS[key].partition("/")
            raise ConfigurationError(
                f"{where} is '{key}', a name of version 0.1; write '{metric}', which gives '{name}' and "
                f"every other "
                f"number of the task"
            )
    criterion = str(_read(config, "training", "early_stop", "criteria") or "")
    scope, slash, key = criterion.rpartition("/")
    if key in OLD_METRICS:
        raise ConfigurationError(
            f"training.early_stop.criteria is '{criterion}', a name of version 0.1; write "
            f"'{scope}{slash}{OLD_METRICS[key]}'"
        )
    for model in _read(config, "model_config") or ():
        losses = _read(config, "model_config", model, "losses")
        for where, key in _list_types(f"model_config.{model}.losses", losses):
            if key in OLD_LOSSES:
                raise ConfigurationError(
                    f"{where} is '{key}', a name of version 0.1; write '{OLD_LOSSES[key]}'"
                )


def _read(config: Mapping[str, Any], *keys: str) -> Any:
    """Return the plain value below some keys, or None where there is none."""
    value: Any = config
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return to_plain(value)


def _list_types(where: str, entries: Any) -> Iterator[tuple[str, str]]:
    """Yield the place and the registered key of each entry of a list of metrics or losses."""
    for place, entry in enumerate(entries if isinstance(entries, list) else []):
        yield f"{where}[{place}]", str(entry.get("type") if isinstance(entry, dict) else entry)
