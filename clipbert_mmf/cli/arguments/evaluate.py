"""The arguments of ``clipbert evaluate``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import add_json, add_user_dir
from clipbert_mmf.cli.values import count, place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "file",
        type=place,
        help="JSON of clipbert predict, evaluation.predict=true or mmf_predict; or the folder of a run, whose newest "
        "is read",
    )
    parser.add_argument("--dataset", help="whose predictions, in the folder of a run over several")
    parser.add_argument("--vqa-server", metavar="OUT", help="write answers for the VQA evaluation server")
    parser.add_argument("--ranks", metavar="OUT", help="write a CSV of text-to-video ranks")
    parser.add_argument(
        "--depth", type=count(), default=10, help="videos for each text in --ranks (default: 10)"
    )
    add_user_dir(parser)
    add_json(parser)
