"""Prints a result: lines for people, JSON for programs."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable
from typing import Any

from clipbert_mmf.cli.streams import knows_all_letters, write_output
from clipbert_mmf.json_text import format_json
from clipbert_mmf.shown_text import escape_json, escape_text


def print_result(options: argparse.Namespace, content: Any, lines: Iterable[str]) -> None:
    """Write a result to stdout; what a terminal would obey is written out.

    Args:
        options: with ``json``, whether JSON is wanted.
        content: printed as JSON.
        lines: printed otherwise; names and texts of others in them have no line ends any more.
    """
    if options.json:
        text = escape_json(format_json(content, 2, ensure_ascii=not knows_all_letters(sys.stdout)))
    else:
        text = escape_text("\n".join(lines), keeps="\n\t")
    write_output(text + "\n")


class EscapingFormatter(logging.Formatter):
    """Formats messages; what a terminal would obey is written out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a message."""
        return escape_text(super().format(record), keeps="\n\t")
