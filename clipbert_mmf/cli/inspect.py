"""``clipbert inspect``: the format of a file of weights and the parameters that it would fill."""

from __future__ import annotations

import argparse
import dataclasses

from clipbert_mmf.cli.model_options import add_json, add_user_dir
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import filled
from clipbert_mmf.inference.inspecting import inspect_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("file", type=filled, help="file or folder of weights, or the hub name of a BERT")
    parser.add_argument("--config", help="YAML of the model to compare with: of configs/models, or of a run")
    add_user_dir(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the format of the file and a table of what it would fill."""
    inspection = inspect_weights(options.file, options.config)
    print_result(options, dataclasses.asdict(inspection), [str(inspection)])
    return 0
