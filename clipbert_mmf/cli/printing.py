"""Prints a result: lines for people, JSON for programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any


def print_result(options: argparse.Namespace, content: Any, lines: Iterable[str]) -> None:
    """Write a result to stdout.

    Args:
        options: with ``json``, whether JSON is wanted.
        content: printed as JSON.
        lines: printed otherwise.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False) if options.json else "\n".join(lines)
    sys.stdout.write(text + "\n")
