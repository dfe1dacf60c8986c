"""The arguments of ``clipbert ablate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_json, add_seeds, add_settings, read_names
from clipbert_mmf.cli.values import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("table", choices=read_names("ablations.yaml", "tables"))
    corpora, tasks = (read_names("ablations.yaml", section) for section in ("corpora", "tasks"))
    parser.add_argument("--corpus", choices=corpora, default="demo", help="(default: demo)")
    parser.add_argument("--task", choices=tasks, default="retrieval", help="(default: retrieval)")
    parser.add_argument("--start", help="checkpoint of the image-text pre-training")
    parser.add_argument(
        "--weights",
        nargs="*",
        default=[],
        metavar="NAME=FILE",
        help="files of table 5: bert, tsn, imagenet, grid_feat",
    )
    parser.add_argument(
        "--rows", nargs="*", default=["*"], metavar="PATTERN", help="names of rows to run, e.g. 'lse_*'"
    )
    parser.add_argument("--updates", type=count(), help="updates of each row (default: those of the recipe)")
    add_seeds(parser, "each row")
    parser.add_argument("--save", type=Path, default=Path("save/ablations"), help="(default: save/ablations)")
    parser.add_argument("--show", action="store_true", help="print the command line of each row, run none")
    parser.add_argument("--user-dir", metavar="DIR", help="env.user_dir of every run")
    add_json(parser)
    add_settings(
        parser, "options of every mmf_run, e.g. dataset_config.msrvtt_retrieval.data_dir=/data/msrvtt"
    )
