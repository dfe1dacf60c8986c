"""The arguments of ``clipbert compare-precision``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_model_options
from clipbert_mmf.cli.values import count, filled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser)
    parser.add_argument("--media", type=filled, required=True, help="folder or LMDB of videos or images")
    parser.add_argument(
        "--texts", type=Path, required=True, help="annotation file; its texts and the media it names are used"
    )
    parser.add_argument("--corpus", default="msrvtt", help="annotation format (default: msrvtt)")
    parser.add_argument(
        "--precision", dest="precisions", nargs="+", default=["bf16", "fp16"], choices=("bf16", "fp16")
    )
    parser.add_argument("--limit", type=count(), default=100, help="texts to use (default: 100)")
