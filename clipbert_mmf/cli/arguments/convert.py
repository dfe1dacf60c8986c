"""The arguments of ``clipbert convert``."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.arguments.shared import add_model_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser)
    parser.add_argument("--out", required=True, help="folder or file to write")
    parser.add_argument(
        "--to",
        default="folder",
        choices=("folder", "released", "onnx"),
        help="folder: for ClipBert.from_pretrained; released: a state dict for the released ClipBERT; onnx: a "
        "folder with encoder.onnx and scorer.onnx",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a hub name")
    parser.add_argument("--replace", action="store_true", help="replace what is at --out")
