"""The arguments of ``clipbert score``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import NOT_CALIBRATED, add_backend, add_model_options
from clipbert_mmf.cli.values import filled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.epilog = NOT_CALIBRATED
    add_model_options(parser)
    add_backend(parser)
    parser.add_argument("video", type=filled, help="video or image file, or an iopath URL")
    parser.add_argument("texts", nargs="+", metavar="text", help="captions to compare")
