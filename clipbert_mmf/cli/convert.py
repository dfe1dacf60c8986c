"""``clipbert convert``: a trained model as files for others."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.model_options import add_model_options, check_model_options
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.inference.conversion import TARGETS, convert_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser)
    parser.add_argument("--out", required=True, help="folder or file to write")
    parser.add_argument(
        "--to",
        default="folder",
        choices=TARGETS,
        help="folder: for ClipBert.from_pretrained; released: a state dict for the released ClipBERT; onnx: a "
        "folder with encoder.onnx and scorer.onnx",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a hub name")
    parser.add_argument("--replace", action="store_true", help="replace what is at --out")


def run(options: argparse.Namespace) -> int:
    """Write the model and print where it is."""
    check_model_options(options)
    written = convert_weights(
        options.model,
        options.out,
        to=options.to,
        replace=options.replace,
        device=options.device,
        config=options.config,
        dataset=options.dataset,
        tokenizer=options.tokenizer,
        answers=options.answers,
        revision=options.revision,
    )
    print_result(options, {"out": str(written)}, [f"wrote {written}"])
    return 0
