"""Lists the keys of MMF's configuration that something reads, section by section."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, cast

from mmf.common.registry import registry
from mmf.utils.configuration import get_default_config_path, load_yaml

from clipbert_mmf.configuration import refuse_unknown_keys, to_plain
from clipbert_mmf.training.options import SECTIONS

#: Keys that only one of the two MMFs has, so that one file serves both, and those that only MMF's own project
#: files or models set.
_FURTHER_KEYS: dict[str, set[str]] = {
    "": {"dataset", "datasets", "multitasking", "distributed", "learning_rate", "trainer", "other_configs"}
    | {"includes", "device_id", "start_rank"},
    "training": {"stdout_capture", "colored_logs", "wandb", "callbacks", "clip_norm_mode", "num_workers"}
    | {"task_size_proportional_sampling", "encoder_lr_multiply", "snapshot_interval", "max_iterations"},
    "evaluation": {"reporter"},
    "optimizer": {"type", "params", "allow_unused_parameters", "enable_state_sharding"},
    "scheduler": {"type", "params"},
    "env": {"wandb_logdir", "overwrite"},
}
#: Sections of MMF whose keys are checked: those with keys of ours, and those of ``_FURTHER_KEYS``.
CHECKED_SECTIONS = tuple(dict.fromkeys([*SECTIONS, *(where for where in _FURTHER_KEYS if where)]))
#: Sections in which any key can be set; whatever reads them refuses what it does not know.
_OPEN = (
    "optimizer.params",
    "scheduler.params",
    "multitasking.params",
    "checkpoint.pretrained_state_mapping",
    "training.wandb",
    "training.callbacks",
    "evaluation.reporter",
    "evaluation.metrics",
)


def is_open_section(where: str) -> bool:
    """Return whether any key can be set in a section: another module refuses what it does not know.

    Args:
        where: dotted key, such as ``model_config.clipbert.heads``.
    """
    if where.startswith(_OPEN):
        return True
    kind, _, rest = where.partition(".")
    name = rest.partition(".")[0]
    if kind == "model_config":
        model: Any = registry.get_model_class(name) if name else None
        return model is not None and model.__module__.startswith("clipbert_mmf")
    if kind == "dataset_config":
        return hasattr(registry.get_builder_class(name) if name else None, "spec")
    return False


def find_known_keys(where: str) -> set[str]:
    """Return the keys of a section of MMF's that something reads: this package, or MMF by its defaults.

    Args:
        where: dotted key; empty for the whole configuration.
    """
    own = {field.name for cls in SECTIONS.get(where, ()) for field in dataclasses.fields(cls)}
    inner = {key.rpartition(".")[2] for key in SECTIONS if key.rpartition(".")[0] == where}
    return own | inner | set(find_section(_load_defaults(), where)) | _FURTHER_KEYS.get(where, set())


@functools.lru_cache(maxsize=1)
def _load_defaults() -> Mapping[str, Any]:
    return cast(Mapping[str, Any], load_yaml(get_default_config_path()))


def find_section(config: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return a section, an empty one where there is none.

    Args:
        config: MMF's whole configuration.
        where: dotted key; empty for the whole.
    """
    for key in where.split(".") if where else ():
        if not isinstance(config, Mapping) or key not in config:
            return {}
        config = config[key] or {}
    return config if isinstance(config, Mapping) else {}


def read_plain(config: Mapping[str, Any], *keys: str) -> Any:
    """Return the plain value below some keys, or None where there is none."""
    value: Any = config
    for key in keys:
        value = value[key] if isinstance(value, Mapping) and key in value else None
    return to_plain(value)


def refuse_unknown_sections(config: Mapping[str, Any]) -> None:
    """Refuse keys of MMF's sections that neither this package nor MMF knows.

    Args:
        config: MMF's whole configuration.

    Raises:
        ConfigurationError: names the key in full and the nearest one.
    """
    refuse_unknown_keys("", config, find_known_keys(""))
    for where in CHECKED_SECTIONS:
        refuse_unknown_keys(where, find_section(config, where), find_known_keys(where))
