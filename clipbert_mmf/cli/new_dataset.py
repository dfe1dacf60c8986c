"""``clipbert new-dataset``: the first files of a dataset of your own."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.model_options import add_json
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.skeleton import write_dataset_skeleton


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("name", help="lower-case letters, digits and underscores")
    parser.add_argument(
        "--out", type=Path, default=Path("."), help="where its folder is made (default: here)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    written = [str(path) for path in write_dataset_skeleton(options.name, options.out)]
    print_result(options, written, written)
    return 0
