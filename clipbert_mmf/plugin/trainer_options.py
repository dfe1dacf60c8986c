"""Parses the sections of MMF's configuration that the trainer reads, once, and refuses keys that nothing reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from mmf.utils.configuration import get_default_config_path, load_yaml

from clipbert_mmf.configuration import parse_config, refuse_unknown_keys, to_plain
from clipbert_mmf.training.options import (
    SECTIONS,
    CheckpointOptions,
    EarlyStopOptions,
    EvaluationOptions,
    LoopOptions,
    MixingOptions,
    ParallelOptions,
    RunOptions,
    WandbOptions,
    WorkerOptions,
)

T = TypeVar("T")

#: Keys that only one of the two MMFs has, so that one file serves both, and those that only MMF's own project
#: files set.
_FOREIGN_KEYS = {
    "training": {"stdout_capture", "colored_logs", "wandb", "callbacks"}
    | {"task_size_proportional_sampling", "encoder_lr_multiply", "snapshot_interval", "max_iterations"},
    "evaluation": {"reporter"},
}


def parse_run_options(config: Mapping[str, Any]) -> RunOptions:
    """Return the options of a run.

    Args:
        config: MMF's whole configuration.

    Raises:
        ConfigurationError: for an unknown key, or a value that cannot be used.
    """
    _refuse_unknown(config)
    training = config["training"]
    has_mixing = "multitasking" in config and bool(config["multitasking"])
    optimizer = config["optimizer"]
    return RunOptions(
        run_type=str(config["run_type"]) if "run_type" in config else "train",
        loop=_parse(LoopOptions, training, "training"),
        workers=_parse(WorkerOptions, training, "training"),
        parallel=_parse(ParallelOptions, training, "training"),
        early_stop=_parse(EarlyStopOptions, training["early_stop"], "training.early_stop"),
        wandb=_parse(WandbOptions, _find_section(training, "wandb"), "training.wandb"),
        checkpoint=_parse(CheckpointOptions, config["checkpoint"], "checkpoint"),
        evaluation=_parse(EvaluationOptions, config["evaluation"], "evaluation"),
        multitasking=_parse(MixingOptions, config["multitasking"], "multitasking") if has_mixing else None,
        optimizer_params=(to_plain(optimizer["params"]) or {}) if "params" in optimizer else {},
    )


def _parse(cls: type[T], section: Mapping[str, Any], where: str) -> T:
    names = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]  # a dataclass
    return parse_config(cls, {name: section[name] for name in names if name in section}, where)


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    """Refuse keys that neither this package nor MMF knows; MMF's are those of its default configuration."""
    defaults = cast(Mapping[str, Any], load_yaml(get_default_config_path()))
    for where, classes in SECTIONS.items():
        given, known = _find_section(config, where), _find_section(defaults, where)
        own = {field.name for cls in classes for field in dataclasses.fields(cls)}
        refuse_unknown_keys(where, given, own | set(known) | _FOREIGN_KEYS.get(where, set()))


def _find_section(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    for key in where.split("."):
        if key not in config:  # MMF's containers raise in ``get`` with old versions of OmegaConf
            return {}
        config = config[key] or {}
    return config
