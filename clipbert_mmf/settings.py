"""Reads one key of a configuration that may lack it, and turns one into plain values, alike in every OmegaConf.

Used by the adapters, which get their configuration from MMF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def read_setting(config: Any, key: str, default: Any = None) -> Any:
    """Return ``config[key]``, or ``default`` where the configuration has no such key.

    OmegaConf before 2.1 raises in ``get`` when a configuration is closed to new keys, as MMF's is.

    Args:
        config: a mapping; None counts as an empty one.
        key: its name.
        default: returned only when the key is absent, not when it is null.
    """
    return default if config is None or key not in config else config[key]


def to_plain(value: Any) -> Any:
    """Return a value with every mapping in it as a dict and every sequence but text as a list."""
    if isinstance(value, Mapping):
        return {key: to_plain(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [to_plain(entry) for entry in value]
    return value
