"""The arguments of ``clipbert predict``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_json, add_user_dir
from clipbert_mmf.cli.values import place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("run_dir", type=place, help="folder of a run, with its config.yaml and a checkpoint")
    parser.add_argument("--split", choices=("val", "test"), default="test", help="(default: test)")
    parser.add_argument("--out", type=Path, help="folder to write (default: RUN_DIR/predictions)")
    parser.add_argument("--data-dir", help="where the dataset is now, if it was moved")
    parser.add_argument("--dataset", help="dataset to predict, for a run over several (default: all)")
    add_user_dir(parser)
    add_json(parser)
    parser.add_argument(
        "options", nargs="*", metavar="KEY=VALUE", help="options of mmf_run, e.g. training.batch_size=8"
    )
