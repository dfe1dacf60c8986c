"""The arguments of ``clipbert new-dataset``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("name", help="lower-case letters, digits and underscores")
    parser.add_argument(
        "--out", type=Path, default=Path("."), help="where its folder is made (default: here)"
    )
    add_json(parser)
