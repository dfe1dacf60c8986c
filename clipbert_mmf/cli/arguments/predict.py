"""The arguments of ``clipbert predict``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_json, add_ray, add_settings, add_user_dir
from clipbert_mmf.cli.values import count, place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "run_dir",
        type=place,
        help="folder of a run, with its config.yaml and a checkpoint; with --table also one of a converted model",
    )
    parser.add_argument("--split", choices=("val", "test"), help="(default: test)")
    parser.add_argument(
        "--table",
        type=Path,
        help="predict the rows of this table in place of the run's dataset: video and text, or video and question and, "
        "where the model chooses, options",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder to write (default: RUN_DIR/predictions); with --table the file of JSON lines",
    )
    parser.add_argument(
        "--data-dir",
        help="where the dataset is now, if it was moved; with --table the videos' folder or store",
    )
    parser.add_argument("--dataset", help="dataset to predict, for a run over several (default: all)")
    parser.add_argument("--device", default="cpu", help="with --table, such as cpu or cuda:0 (default: cpu)")
    parser.add_argument("--workers", type=count(), help="with --table, processes that predict (default: 1)")
    add_ray(parser)
    add_user_dir(parser)
    add_json(parser)
    add_settings(parser, "options of mmf_run, e.g. training.batch_size=8")
