"""Measures the parts of the project: ``python tools/benchmark.py data``.

Each prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import importlib
import sys

#: Subcommand to one line of help; the code is ``benchmarks/<name>.py`` and is imported only when asked for.
BENCHMARKS = {
    "data": "encoded video and images to frames",
    "eval": "retrieval of all pairs and its options",
    "library": "an index of many videos: store, growth, recall of the first stage",
    "model": "training and scoring against a plain build",
    "scale": "how time and memory grow with batch, clips, frames, videos, texts, records and processes",
}


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", choices=sorted(BENCHMARKS), help="; ".join(f"{k}: {v}" for k, v in BENCHMARKS.items())
    )
    what = parser.parse_args((sys.argv[1:] if arguments is None else arguments)[:1]).what
    benchmark = importlib.import_module(f"benchmarks.{what}")
    options = argparse.ArgumentParser(prog=f"benchmark.py {what}", description=benchmark.__doc__)
    benchmark.add_arguments(options)
    benchmark.run(options.parse_args((sys.argv[1:] if arguments is None else arguments)[1:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
