"""How a user's package adds to one of our tables: heads, folds, decoders, formats."""

from __future__ import annotations

from typing import Any


def is_same_definition(first: Any, second: Any) -> bool:
    """Whether two functions or classes were defined by the same lines; MMF may import a user's package twice."""
    return first is second or (
        first is not None
        and second is not None
        and (first.__module__, first.__qualname__) == (second.__module__, second.__qualname__)
    )


def add_to_table(table: dict[str, Any], kind: str, name: str, value: Any) -> None:
    """Add a function or class; adding the same definition again replaces it.

    Args:
        table: changed.
        kind: what errors call an entry, with its article.
        name, value: of the entry.

    Raises:
        ValueError: if the name is taken by another definition.
    """
    if name in table and not is_same_definition(table[name], value):
        raise ValueError(f"{kind} '{name}' is registered already")
    table[name] = value
