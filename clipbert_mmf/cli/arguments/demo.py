"""The arguments of ``clipbert demo``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import SALIENCY_METHODS, add_backend, add_model_options
from clipbert_mmf.cli.values import place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser, is_required=False)
    add_backend(parser)
    parser.add_argument("--videos", type=place, help="folder whose videos (or images) may be shown")
    parser.add_argument(
        "--index",
        type=place,
        help="without --videos: index of clipbert index that is searched. With it: folder that keeps encodings of a "
        "search (default: VIDEOS/.clipbert_index)",
    )
    parser.add_argument(
        "--saliency",
        choices=SALIENCY_METHODS,
        help="how saliency is measured (default: by the model's grid, see docs/report.md)",
    )
    parser.add_argument("--title", help="title of the page (default: Ask and the model's name)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)"
    )
    parser.add_argument("--port", type=int, default=7860, help="port; 0 takes any free one (default: 7860)")
    parser.add_argument(
        "--max-upload-mb", type=float, default=200.0, help="largest upload; 0 takes none (default: 200)"
    )
