"""``clipbert check`` and ``inspect``: what can be read of a store of videos, and what a file of weights is."""

from __future__ import annotations

import argparse
import dataclasses

from clipbert_mmf.commands.printing import print_result
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
