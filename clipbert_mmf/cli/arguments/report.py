"""The arguments of ``clipbert report``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import SALIENCY_METHODS, add_json, add_user_dir
from clipbert_mmf.cli.values import count, filled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "run_dir",
        type=filled,
        help="folder of a run, with its predictions in it or in a folder 'predictions'",
    )
    parser.add_argument("--out", help="file to write (default: RUN_DIR/report.html)")
    parser.add_argument(
        "--baseline", nargs="*", default=[], metavar="RUN_DIR", help="earlier runs to compare with"
    )
    parser.add_argument("--data-dir", help="where the dataset is now, if it was moved")
    parser.add_argument(
        "--dataset", help="dataset whose predictions are shown, for a run over several (default: the newest)"
    )
    parser.add_argument(
        "--examples",
        type=count(0),
        default=3,
        help="best and worst predictions to show, of each (default: 3)",
    )
    parser.add_argument(
        "--saliency",
        choices=SALIENCY_METHODS,
        help="how saliency is measured (default: by the model's grid)",
    )
    add_user_dir(parser)
    add_json(parser)
