"""Adds entries to the open tables: heads, folds, decoders, formats."""

from __future__ import annotations

from typing import Any


def is_same_definition(first: Any, second: Any) -> bool:
    """Return whether two functions or classes were defined by the same lines.

    MMF may import a user's package twice.
    """
    return first is second or (
        first is not None
        and second is not None
        and (first.__module__, first.__qualname__) == (second.__module__, second.__qualname__)
    )


def add_to_table(table: dict[str, Any], kind: str, name: str, value: Any) -> None:
    """Add a function or class; adding the same definition again replaces it.

    Args:
        table: the table to change.
        kind: name of an entry in errors, with its article.
        name: key of the entry.
        value: function or class.

    Raises:
        ValueError: if the name is taken by another definition.
    """
    if name in table and not is_same_definition(table[name], value):
        raise ValueError(f"{kind} '{name}' is registered already")
    table[name] = value
