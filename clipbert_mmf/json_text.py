"""Parses JSON of files that people made: lists without end are an error of the file, not of Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


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
