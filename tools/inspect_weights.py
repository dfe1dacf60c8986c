"""Says what a file of weights is and what it would fill: ``python tools/inspect_weights.py FILE``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clipbert_mmf.inference.inspecting import inspect_weights


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and print; 1 if the file is not there, damaged, unsafe or of no known format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="file or folder of weights, or the hub name of a BERT")
    parser.add_argument("--config", help="YAML of the model to compare with: of configs/models, or of a run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        inspection = inspect_weights(options.file, options.config)
    except (ValueError, OSError) as error:
        print(f"inspect_weights: {error}", file=sys.stderr)
        return 1
    print(json.dumps(dataclasses.asdict(inspection), indent=2) if options.json else inspection)
    return 0


if __name__ == "__main__":
    sys.exit(main())
