"""The arguments of ``clipbert check-data``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import add_json, add_user_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("dataset", help="registered name, such as msrvtt_retrieval")
    parser.add_argument(
        "options",
        nargs="+",
        metavar="KEY=VALUE",
        help="keys of dataset_config.DATASET, at least data_dir=FOLDER; e.g. media.test=test_videos",
    )
    add_user_dir(parser)
    add_json(parser)
