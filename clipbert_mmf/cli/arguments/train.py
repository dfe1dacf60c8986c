"""The arguments of ``clipbert train``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import MODEL_HELP, add_json, add_settings, add_user_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("--from", dest="model", required=True, metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--data", type=Path, required=True, help="folder with a table and the videos")
    parser.add_argument("--table", help="the table's name below --data (default: the one that is there)")
    parser.add_argument(
        "--task",
        choices=("count", "multiple_choice", "open_ended", "retrieval"),
        help="(default: what the table's columns say)",
    )
    parser.add_argument("--save", type=Path, help="folder of the run (default: save/<name of --data>)")
    parser.add_argument("--config", help="config.yaml of the model's run, for a checkpoint that lies alone")
    parser.add_argument("--dataset", help="dataset of the model's run, for a run over several")
    parser.add_argument("--show", action="store_true", help="print the command line, run nothing")
    add_user_dir(parser)
    add_json(parser)
    add_settings(parser, "options of mmf_run, e.g. training.max_epochs=5")
