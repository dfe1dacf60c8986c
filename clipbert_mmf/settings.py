"""Reads one key of a configuration that may lack it.

Used by the adapters, which get their configuration from MMF.
"""

from __future__ import annotations

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
