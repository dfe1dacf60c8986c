"""``clipbert inspect``: the format of a file of weights and the parameters that it would fill."""

from __future__ import annotations

import argparse
import dataclasses

from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.inference.inspecting import inspect_weights


def run(options: argparse.Namespace) -> int:
    """Print the format of the file and a table of what it would fill."""
    inspection = inspect_weights(options.file, options.config)
    print_result(options, dataclasses.asdict(inspection), [str(inspection)])
    return 0
