"""Makes names and texts of strangers safe to show in a terminal."""

from __future__ import annotations

import re

#: Control characters, those that turn the direction of writing, line ends of Unicode, and what was no UTF-8.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escape_text(text: str, keeps: str = "") -> str:
    r"""Return a text in which control characters and newlines are written out, such as ``\x1b`` and ``\n``.

    Args:
        text: as it was found.
        keeps: characters that stay.
    """
    return _UNSAFE.sub(lambda found: _escape(found.group(), keeps), text)


def escape_json(text: str) -> str:
    """Return JSON in which what a terminal would obey is written in JSON's escapes; its own line ends stay."""
    return _UNSAFE.sub(
        lambda found: found.group() if found.group() == "\n" else f"\\u{ord(found.group()):04x}", text
    )


def escape_cell(text: str) -> str:
    """Return a cell of a table that no spreadsheet takes for a formula: a quote stands before ``= + - @``.

    A number stays as it is.
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _escape(character: str, keeps: str) -> str:
    if character in keeps:
        return character
    return character.encode("unicode_escape").decode("ascii")
