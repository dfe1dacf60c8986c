"""``clipbert check``, ``inspect`` and ``new-dataset``: stores of videos, files of weights, a dataset of one's own."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.video import check


def add_check(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipbert check``, those of ``tools/check_videos.py``."""
    check.add_arguments(parser)


def run_check(options: argparse.Namespace) -> int:
    """Read every medium of a store; 1 if some are bad."""
    return check.run(options)


def add_inspect(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipbert inspect``."""
    parser.add_argument("file", help="file or folder of weights, or the hub name of a BERT")
    parser.add_argument("--config", help="YAML of the model to compare with: of configs/models, or of a run")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_inspect(options: argparse.Namespace) -> int:
    """Print what a file of weights is and what it would fill."""
    from clipbert_mmf.inference.inspecting import inspect_weights

    inspection = inspect_weights(options.file, options.config)
    print_result(options, dataclasses.asdict(inspection), [str(inspection)])
    return 0


def add_new_dataset(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipbert new-dataset``."""
    parser.add_argument("name", help="lower-case letters, digits and underscores")
    parser.add_argument(
        "--out", type=Path, default=Path("."), help="where its folder is made (default: here)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_new_dataset(options: argparse.Namespace) -> int:
    """Write the first files of a user's own dataset, and say which."""
    from clipbert_mmf.cli.skeleton import write_dataset_skeleton

    written = [str(path) for path in write_dataset_skeleton(options.name, options.out)]
    print_result(options, written, written)
    return 0
