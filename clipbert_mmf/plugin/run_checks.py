"""Checks the whole configuration of a run before anything is built.

Each part is parsed as the code that reads it will parse it, so that a wrong key or value is named within
seconds. Runs without a model, dataset or trainer of ours are left to MMF.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmf.common.registry import registry
from torch.optim import Optimizer

from clipbert_mmf.configuration import (
    REGISTERED,
    ConfigurationError,
    choose,
    parse_config,
    refuse_unknown_keys,
    suggest,
    to_plain,
)
from clipbert_mmf.models.config import ModelConfig, parse_model_config
from clipbert_mmf.plugin.known_keys import read_plain
from clipbert_mmf.plugin.old_names import refuse_old_names
from clipbert_mmf.plugin.trainer_options import parse_run_options
from clipbert_mmf.scoring.metrics import METRICS
from clipbert_mmf.shown_text import escape_text
from clipbert_mmf.tasks.dataset_config import parse_dataset_config
from clipbert_mmf.tasks.items import read_item_values
from clipbert_mmf.tasks.task import Task

_SPLITS = ("train", "val", "test", "inference", "predict")
_RUN_TYPE = re.compile(rf"({'|'.join(_SPLITS)})([_+]?({'|'.join(_SPLITS)}))*")


def check_run(config: Mapping[str, Any]) -> None:
    """Check a run's configuration.

    Args:
        config: MMF's, complete.

    Raises:
        ConfigurationError: for the first key or value that cannot be used.
    """
    model: Any = registry.get_model_class(str(config["model"]))
    datasets: dict[str, Any] = {name: registry.get_builder_class(name) for name in _list_datasets(config)}
    is_our_model = model is not None and model.__module__.startswith("clipbert_mmf")
    is_our_trainer = read_plain(config, "training", "trainer") == "clipbert"
    ours = {name: builder.spec for name, builder in datasets.items() if hasattr(builder, "spec")}
    if not (is_our_model or is_our_trainer or ours):
        return
    check_run_type(read_plain(config, "run_type"))
    refuse_old_names(config)
    parse_run_options(config)
    check_optimizer(config, needs_rate=is_our_model)
    check_scheduler(config)
    check_metrics(read_plain(config, "evaluation", "metrics"))
    parsed = (
        parse_model_config(read_plain(config, "model_config", str(config["model"]))) if is_our_model else None
    )
    tasks = {name: _check_dataset(config, name, spec) for name, spec in ours.items()}
    if parsed is not None and len(ours) == len(datasets):
        check_criterion(config, parsed, tasks)


def tell_foreign_code(user_dir: str) -> None:
    """Say in one line that a configuration file runs code outside the current directory; MMF imports it unasked.

    Args:
        user_dir: ``env.user_dir`` of the file.
    """
    place = Path(user_dir).expanduser().resolve()
    if not place.is_relative_to(Path.cwd()):
        told = f"the configuration file runs code from outside the current directory: env.user_dir={place}"
        sys.stderr.write(escape_text(f"warning: {told}") + "\n")


def check_names(model: Any, datasets: Iterable[str]) -> None:
    """Check that model and datasets of a command line are registered.

    Raises:
        ConfigurationError: names the nearest one.
    """
    choose("model", model, registry.mapping["model_name_mapping"], REGISTERED)
    for name in datasets:
        choose("dataset", name, registry.mapping["builder_name_mapping"], REGISTERED)


def _list_datasets(config: Mapping[str, Any]) -> list[str]:
    return [name.strip() for name in str(config["datasets"]).split(",")]


def check_run_type(run_type: Any) -> None:
    """Raise ``ConfigurationError`` for a ``run_type`` in which a word is none of MMF's."""
    if run_type is None or _RUN_TYPE.fullmatch(str(run_type)):
        return
    wrong = next((word for word in re.split(r"[_+,. ]", str(run_type)) if word not in _SPLITS), run_type)
    raise ConfigurationError(
        f"run_type is '{run_type}'; '{wrong}' is unknown{suggest(str(wrong), _SPLITS)}; allowed are "
        f"{', '.join(_SPLITS)}, joined by '_', as in train_val_test"
    )


def check_optimizer(config: Mapping[str, Any], needs_rate: bool = True) -> None:
    """Raise ``ConfigurationError`` for an unknown optimizer, or a parameter that it does not take."""
    section = read_plain(config, "optimizer") or {}
    if "type" not in section:
        return
    own = registry.mapping["optimizer_name_mapping"]
    theirs = {
        name: kind
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
    }
    kind = choose("optimizer.type", section["type"], {**own, **theirs})
    params = section.get("params") or {}
    _check_arguments("optimizer.params", params, kind, section["type"])
    if needs_rate and "lr" not in params:
        raise ConfigurationError(
            "optimizer.params.lr is missing; set it, for example optimizer.params.lr=1e-4"
        )
    for key, value in params.items():
        if key not in ("lr", "weight_decay", "eps"):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigurationError(f"optimizer.params.{key} is {value!r}; expected a number")
        if not 0 <= value < math.inf:
            raise ConfigurationError(f"optimizer.params.{key} is {value!r}; expected at least 0, and finite")


def check_scheduler(config: Mapping[str, Any]) -> None:
    """Raise ``ConfigurationError`` for an unknown schedule, or a parameter that it does not take."""
    section = read_plain(config, "scheduler") or {}
    if not read_plain(config, "training", "lr_scheduler") or "type" not in section:
        return
    kind = choose("scheduler.type", section["type"], registry.mapping["scheduler_name_mapping"], REGISTERED)
    _check_arguments("scheduler.params", section.get("params") or {}, kind, section["type"])


def _check_arguments(where: str, given: Mapping[str, Any], kind: Any, name: str) -> None:
    parameters = list(inspect.signature(kind).parameters.values())[1:]  # without weights or optimizer
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    allowed = [parameter.name for parameter in parameters]
    for key in given:
        if key not in allowed:
            raise ConfigurationError(
                f"{where}.{key} is unknown to '{name}'{suggest(key, allowed)}; allowed are {', '.join(allowed)}. "
                f"{where}.{key}=null leaves it out"
            )


def check_metrics(entries: Any) -> None:
    """Raise ``ConfigurationError`` for a metric that is not registered."""
    for place, entry in enumerate(entries or ()):
        where = f"evaluation.metrics[{place}]"
        if isinstance(entry, Mapping):
            where = f"{where}.type"
            if "type" not in entry:
                raise ConfigurationError(f"{where} is missing; the entry is {to_plain(entry)}")
        name = entry["type"] if isinstance(entry, Mapping) else entry
        choose(where, name, registry.mapping["metric_name_mapping"], REGISTERED)


def _check_dataset(config: Mapping[str, Any], name: str, spec: Any) -> Task:
    section = read_plain(config, "dataset_config", name) or {}
    where = f"dataset_config.{name}"
    _, task, plain = parse_dataset_config(section, spec)
    for kind, is_training in ((task.training_items, True), (task.evaluation_items, False)):
        parse_config(kind.Config, read_item_values(kind, plain, where, is_training), where)
    for key, processor in (section.get("processors") or {}).items():
        place = f"{where}.processors.{key}"
        if not isinstance(processor, Mapping):
            raise ConfigurationError(f"{place} is {processor!r}; expected a section with keys")
        refuse_unknown_keys(place, processor, ("type", "params"))
        registered = choose(
            f"{place}.type", processor.get("type"), registry.mapping["processor_name_mapping"], REGISTERED
        )
        if hasattr(registered, "OPTIONS"):
            parse_config(registered.OPTIONS, processor.get("params"), f"{place}.params")
    return task


def check_criterion(config: Mapping[str, Any], model: ModelConfig, tasks: Mapping[str, Task]) -> None:
    """Raise ``ConfigurationError`` if no validation will give ``training.early_stop.criteria``.

    Args:
        config: MMF's, complete.
        model: the model's section.
        tasks: by name of the dataset.
    """
    key = "training.early_stop.criteria"
    criterion = str(read_plain(config, *key.split(".")) or "")
    name = criterion.removeprefix("val/")
    reranks = read_plain(config, "evaluation", "rerank_top_k") is not None
    numbers = list_numbers(model.losses, read_plain(config, "evaluation", "metrics") or [], tasks, reranks)
    if name in numbers or any(
        name.startswith(f"{prefix}/") for prefix, is_open in numbers.items() if is_open
    ):
        return
    listed = [number for number, is_listed in numbers.items() if is_listed is not None]
    raise ConfigurationError(
        f"{key} is '{criterion}'{suggest(name, numbers)}; validation gives {', '.join(listed)}"
    )


def list_numbers(
    losses: Iterable[Any], metrics: Iterable[Any], tasks: Mapping[str, Task], reranks: bool = False
) -> dict[str, bool | None]:
    """Return what a validation gives, without the split before it.

    Args:
        losses: of the model's section.
        metrics: of section ``evaluation``.
        tasks: by name of the dataset.
        reranks: two-stage retrieval gives no losses.

    Returns:
        Name -> whether it may stand for several numbers: True for a metric of someone else's, None for a
        number that some data lacks.
    """
    numbers: dict[str, bool | None] = {}
    with_losses = [name for name, task in tasks.items() if not (reranks and task.name == "retrieval")]
    if with_losses:
        numbers["total_loss"] = False
    for loss in losses:
        kind, names = _read_entry(loss, with_losses, in_params=True)
        numbers.update({f"{name}/{kind}": False for name in names})
    for metric in metrics:
        kind, names = _read_entry(metric, list(tasks), in_params=False)
        title = metric.get("key") or kind if isinstance(metric, Mapping) else kind
        for name in names:
            if kind not in METRICS:
                numbers[f"{name}/{title}"] = True
                continue
            for number in METRICS[kind].list_numbers():
                numbers[f"{name}/{title}/{number}"] = False if number in METRICS[kind].numbers else None
    return numbers


def _read_entry(entry: Any, datasets: list[str], in_params: bool) -> tuple[str, list[str]]:
    """Return the registered name of a loss or a metric, and the datasets it is for."""
    if not isinstance(entry, Mapping):
        return str(entry), datasets
    own = (entry.get("params") or {}) if in_params else entry
    wanted = own.get("datasets") or datasets
    return str(entry.get("type")), [name for name in datasets if name in wanted]
