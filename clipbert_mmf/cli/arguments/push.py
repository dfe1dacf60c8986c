"""The arguments of ``clipbert push``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import add_model_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser)
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="repository; made if missing")
    parser.add_argument("--private", action="store_true", default=None, help="a new repository is private")
    parser.add_argument("--license", help="licence of the weights for the card, such as bsd-3-clause")
    parser.add_argument("--revision", help="branch, which must exist (default: main)")
    parser.add_argument("--message", help="title of the commit")
