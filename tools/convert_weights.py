"""Writes a trained model for others: ``python tools/convert_weights.py save/run --out my_model``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clipbert_mmf.inference.conversion import TARGETS, convert_weights


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert; 1 if that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "source", help="a run's folder, one of its checkpoints, a saved folder, or a hub name"
    )
    parser.add_argument("--out", required=True, help="folder or file to write")
    parser.add_argument(
        "--to",
        default="folder",
        choices=TARGETS,
        help="folder: for ClipBert.from_pretrained; released: a state dict for the released ClipBERT",
    )
    parser.add_argument("--config", help="config.yaml of the run, if it does not lie beside the checkpoint")
    parser.add_argument("--dataset", help="whose preprocessing to keep, if the run had several datasets")
    parser.add_argument("--tokenizer", help="tokenizer directory, if it has moved")
    parser.add_argument("--answers", help="answer vocabulary (JSON), if it has moved")
    parser.add_argument("--revision", help="branch, tag or commit of a hub name")
    parser.add_argument("--replace", action="store_true", help="replace what is at --out")
    options = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        print(f"wrote {convert_weights(options.pop('source'), options.pop('out'), **options)}")
    except (ValueError, OSError) as error:
        print(f"convert_weights: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
