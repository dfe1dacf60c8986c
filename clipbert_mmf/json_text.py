"""Reads and writes JSON: lists without end are an error of the file, not of Python, and what is written is JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast


def parse_json(text: str) -> Any:
    """Return the parsed document.

    Raises:
        json.JSONDecodeError: if it is malformed, or nested too deep.
    """
    return _refuse_depth(json.loads, text, 0)


def parse_json_at(text: str, position: int) -> tuple[Any, int]:
    """Return the value that begins at a position, and where it ends.

    Raises:
        json.JSONDecodeError: if it is malformed, or nested too deep.
    """
    return _refuse_depth(lambda part: json.JSONDecoder().raw_decode(part, position), text, position)


def _refuse_depth(parse: Callable[[str], Any], text: str, position: int) -> Any:
    try:
        return parse(text)
    except RecursionError:
        raise json.JSONDecodeError("nested too deep", text, position) from None


def format_json(value: Any, indent: int | None = None, ensure_ascii: bool = False) -> str:
    """Return a value as JSON; numbers that JSON does not know, which are not finite, become null."""
    return json.dumps(_to_finite(value), indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def _to_finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _to_finite(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, (list, tuple)):
        return [_to_finite(item) for item in cast(Sequence[Any], value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
