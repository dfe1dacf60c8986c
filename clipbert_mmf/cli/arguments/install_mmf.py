"""The arguments of ``clipbert install-mmf``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "--source", help="directory or git URL of MMF's main branch (default: the release on PyPI)"
    )
    add_json(parser)
