"""The arguments of ``clipbert index``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import add_backend, add_model_options, add_ray
from clipbert_mmf.cli.values import count, filled, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser)
    add_backend(parser)
    parser.add_argument(
        "source",
        type=filled,
        help="folder, LMDB, tar shards, scheme://..., or a table with paths or URLs of videos",
    )
    parser.add_argument(
        "--out", type=filled, required=True, metavar="INDEX", help="folder or address of the index"
    )
    parser.add_argument(
        "--update", action="store_true", help="encode changed files again and remove those that are gone"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read the content of every file and every row, whatever its state",
    )
    parser.add_argument(
        "--window-sec",
        type=positive,
        metavar="S",
        help="a row for each window of S seconds (default: the model's clips over the whole video, a row for each and "
        "one for their mean)",
    )
    parser.add_argument(
        "--keep-tokens",
        nargs="?",
        const="bf16",
        choices=("bf16", "fp32"),
        help="keep the visual tokens too, so that a search reads no video (default: bf16 where it is given)",
    )
    parser.add_argument(
        "--nearest",
        choices=("auto", "exact", "approximate", "graph"),
        default="auto",
        help="how searches find candidates: exact; approximate (in short codes); graph (fastest, with more memory); or "
        "auto, which is exact up to 32 MiB of embeddings and then approximate if that finds enough (default: auto)",
    )
    parser.add_argument("--workers", type=count(), help="processes that encode (default: 1)")
    add_ray(parser)
    parser.add_argument("--timeout", type=positive, default=60.0, help="seconds for reading one video")
