"""The arguments of ``clipbert reproduce``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_json, add_settings, read_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "recipe", choices=read_names("reproduce.yaml", "rows"), metavar="RECIPE", help="%(choices)s"
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with the owner's files of the corpus"
    )
    parser.add_argument("--weights", help="checkpoint of the image-text pre-training; of the model to test")
    parser.add_argument("--tokenizer", help="folder of the tokenizer (default: bert-base-uncased)")
    parser.add_argument("--save", type=Path, help="folder of the run (default: save/reproduce/RECIPE)")
    parser.add_argument("--dry-run", action="store_true", help="check and print the plan, run nothing")
    add_json(parser)
    add_settings(parser, "options of mmf_run")
