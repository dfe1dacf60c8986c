"""The arguments of ``clipbert compare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_json, add_seeds, add_user_dir
from clipbert_mmf.cli.values import count, positive

DEFAULT_RUNS = [
    f"{model}:msrvtt_qa" for model in ("clipbert", "mmbt", "concat_bert", "unimodal_text", "unimodal_image")
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="MODEL:DATASET",
        help=f"what to compare (default: {' '.join(DEFAULT_RUNS)}); KEY=VALUE among them is an option of every "
        f"mmf_run, e.g. dataset_config.msrvtt_qa.data_dir=/data/msrvtt",
    )
    parser.add_argument(
        "--corpus",
        choices=("demo", "real"),
        default="demo",
        help="small recipes for the demo corpora, or the full ones (default: demo)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data/demo"),
        help="directory of the demo corpora (default: data/demo)",
    )
    parser.add_argument("--updates", type=count(), help="budget of each run")
    parser.add_argument("--seconds", type=positive, help="budget of each run as seconds of training")
    add_seeds(parser, "each model")
    parser.add_argument(
        "--start", help="checkpoint that clipbert starts from; the others start as their recipes say"
    )
    parser.add_argument("--save", type=Path, default=Path("save/compare"), help="(default: save/compare)")
    add_user_dir(parser)
    add_json(parser)
