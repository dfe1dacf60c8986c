"""Reads a processor's ``params`` against the keys it knows, so that a typing error is an error at start."""

from __future__ import annotations

from typing import Any

from clipbert_mmf.configuration import to_plain


def read_params(name: str, config: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Return ``known`` updated with ``config``, as plain Python values.

    Args:
        name: registered key of the processor, for messages.
        config: mapping from MMF (``params`` of the processor) or None.
        known: every allowed key with its default.

    Raises:
        ValueError: for a key that ``known`` lacks.
    """
    given = {} if config is None else to_plain(config)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"processor '{name}': unknown params {unknown}; allowed are {sorted(known)}")
    return {**known, **given}
