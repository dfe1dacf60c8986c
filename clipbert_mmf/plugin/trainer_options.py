"""Parses the sections of MMF's configuration that the trainer reads, once, and refuses keys that nothing reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from clipbert_mmf.configuration import parse_config, to_plain
from clipbert_mmf.plugin.known_keys import find_section, refuse_unknown_sections
from clipbert_mmf.training.options import (
    CheckpointOptions,
    DistributedOptions,
    EarlyStopOptions,
    EvaluationOptions,
    FirstStageOptions,
    LoopOptions,
    MixingOptions,
    ParallelOptions,
    RunOptions,
    WandbOptions,
    WorkerOptions,
)

T = TypeVar("T")


def parse_run_options(config: Mapping[str, Any]) -> RunOptions:
    """Return the options of a run.

    Args:
        config: MMF's whole configuration.

    Raises:
        ConfigurationError: for an unknown key, or a value that cannot be used.
    """
    refuse_unknown_sections(config)
    training = config["training"]
    has_mixing = "multitasking" in config and bool(config["multitasking"])
    optimizer = config["optimizer"]
    return RunOptions(
        run_type=str(config["run_type"]) if "run_type" in config else "train",
        loop=_parse(LoopOptions, training, "training"),
        first_stage=_parse(FirstStageOptions, find_section(training, "first_stage"), "training.first_stage"),
        workers=_parse(WorkerOptions, training, "training"),
        parallel=_parse(ParallelOptions, training, "training"),
        early_stop=_parse(EarlyStopOptions, training["early_stop"], "training.early_stop"),
        wandb=_parse(WandbOptions, find_section(training, "wandb"), "training.wandb"),
        checkpoint=_parse(CheckpointOptions, config["checkpoint"], "checkpoint"),
        evaluation=_parse(EvaluationOptions, config["evaluation"], "evaluation"),
        multitasking=_parse(MixingOptions, config["multitasking"], "multitasking") if has_mixing else None,
        distributed=_parse(DistributedOptions, config["distributed"], "distributed"),
        optimizer_params=(to_plain(optimizer["params"]) or {}) if "params" in optimizer else {},
    )


def _parse(cls: type[T], section: Any, where: str) -> T:
    if not isinstance(section, Mapping):
        return parse_config(cls, section, where)
    names = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]  # a dataclass
    return parse_config(cls, {name: section[name] for name in names if name in section}, where)
