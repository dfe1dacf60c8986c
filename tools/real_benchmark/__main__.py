"""Runs the real-data benchmark: ``bash tools/real_benchmark.sh DATA``."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from real_benchmark.material import FLICKR8K, UCF20, Material, MissingMaterialError

#: Part -> module that runs it, imported when it is wanted, and files of the material that it needs.
PARTS = {
    "baselines": ("flickr8k", FLICKR8K),
    "towers": ("flickr8k", FLICKR8K),
    "first": ("flickr8k", FLICKR8K),
    "second": ("flickr8k", FLICKR8K),
    "alone": ("flickr8k", FLICKR8K),
    "zero_shot": ("clips", (*FLICKR8K, *UCF20)),
    "clips": ("clips", (*FLICKR8K, *UCF20)),
    "trends": ("trends", (*FLICKR8K, *UCF20)),
    "as_it_is": ("clips", (*FLICKR8K, *UCF20)),
    "tables": ("tables", ()),
    "page": ("page", ()),
}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="tools/real_benchmark.sh", description=__doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with flickr8k/, ucf20/ and weights/")
    parser.add_argument(
        "--work", type=Path, default=Path("save/real_benchmark"), help="(default: save/real_benchmark)"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="(default: cpu)")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="seeds 1 to N (default: 2)")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="(default: all)")
    parser.add_argument(
        "--test-photos", type=int, default=1000, metavar="N", help="of the 1,000, for a trial"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs on clips at once (default: 1)")
    parser.add_argument("--results", type=Path, default=Path("docs/results"), help="(default: docs/results)")
    parser.add_argument("--curve", action="store_true", help="test more numbers of candidates")
    parser.add_argument(
        "--options", nargs="*", default=[], metavar="KEY=VALUE", help="options of every mmf_run"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the wanted parts; what is finished is not run again."""
    options = parse_arguments(arguments)
    if options.seeds < 1:
        sys.stderr.write(f"--seeds is {options.seeds}; expected at least 1\n")
        return 2
    material = Material(options.data.resolve(), options.work.resolve())
    try:
        for part in options.parts:
            material.require(PARTS[part][1])
    except MissingMaterialError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for part in options.parts:
        importlib.import_module(f"real_benchmark.{PARTS[part][0]}").run_part(part, material, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
