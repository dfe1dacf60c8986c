"""The arguments of ``clipbert inspect``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import add_json, add_user_dir
from clipbert_mmf.cli.values import filled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("file", type=filled, help="file or folder of weights, or the hub name of a BERT")
    parser.add_argument("--config", help="YAML of the model to compare with: of configs/models, or of a run")
    add_user_dir(parser)
    add_json(parser)
