"""The arguments of ``clipbert embed``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_backend, add_model_options, add_ray
from clipbert_mmf.cli.values import count, place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser)
    add_backend(parser)
    parser.add_argument(
        "media", nargs="*", type=place, help="video or image files, or folders searched at any depth"
    )
    parser.add_argument("--texts", nargs="+", default=[], metavar="TEXT", help="texts to embed")
    parser.add_argument("--texts-file", type=Path, metavar="FILE", help="UTF-8 file with a text in each line")
    parser.add_argument(
        "--out", type=Path, required=True, help="file to write: .npz, .safetensors or .parquet"
    )
    parser.add_argument("--workers", type=count(), help="processes that read and embed (default: 1)")
    add_ray(parser)
