"""The arguments of ``clipbert search``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import NOT_CALIBRATED, add_backend, add_model_options
from clipbert_mmf.cli.values import count, filled, place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.epilog = NOT_CALIBRATED
    add_model_options(parser, is_required=False)
    add_backend(parser)
    parser.add_argument(
        "place",
        type=filled,
        metavar="INDEX",
        help="index of clipbert index, or a folder of videos (or images) at any depth",
    )
    parser.add_argument("texts", nargs="+", metavar="text", help="what to look for")
    parser.add_argument(
        "--top",
        dest="top_k",
        metavar="N",
        type=count(),
        default=10,
        help="videos for each text (default: 10)",
    )
    parser.add_argument(
        "--rerank-top-k",
        type=_parse_count,
        default=-1,
        metavar="K",
        help="score only the K videos of each text that embeddings choose, or 'all' (default: "
        "100 of an index, all of a folder)",
    )
    parser.add_argument(
        "--show", action="store_true", help="draw below each video how well its clips fit, as text"
    )
    parser.add_argument(
        "--where",
        metavar="FILTER",
        help="SQL over the columns of an index, such as \"duration_sec < 60 and path like 'news/%%'\"",
    )
    parser.add_argument(
        "--verify", action="store_true", help="compare the content of each candidate with what was indexed"
    )
    parser.add_argument("--index", type=place, help="index of a folder (default: FOLDER/.clipbert_index)")
    parser.add_argument(
        "--no-index", action="store_true", help="keep nothing of a folder, encode every video again"
    )


def _parse_count(text: str) -> int | None:
    return None if text == "all" else count()(text)
