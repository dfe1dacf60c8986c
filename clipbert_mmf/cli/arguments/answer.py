"""The arguments of ``clipbert answer``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import NOT_CALIBRATED, add_backend, add_model_options
from clipbert_mmf.cli.values import count, filled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.epilog = NOT_CALIBRATED
    add_model_options(parser)
    add_backend(parser)
    parser.add_argument("video", type=filled, help="video or image file, or an iopath URL")
    parser.add_argument("question")
    parser.add_argument("--options", nargs="+", metavar="option", help="answers to choose from")
    parser.add_argument(
        "--top", dest="top_k", metavar="N", type=count(), default=5, help="answers to list (default: 5)"
    )
