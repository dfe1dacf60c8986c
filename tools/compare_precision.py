"""Half precision against fp32: ``python tools/compare_precision.py MODEL --media DIR --texts FILE``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clipbert_mmf.inference.precision import PRECISIONS, compare_on_annotations
from clipbert_mmf.video.errors import MediaError


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and print a line for each precision; 1 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "location", metavar="model", help="saved folder, a run's folder, checkpoint or hub name"
    )
    parser.add_argument("--media", required=True, help="folder or LMDB of videos or images")
    parser.add_argument(
        "--texts", required=True, help="annotation file; its texts and the media it names are used"
    )
    parser.add_argument("--corpus", default="msrvtt", help="whose annotation format it is")
    known = sorted(PRECISIONS)
    parser.add_argument("--precision", dest="precisions", nargs="+", default=known, choices=known)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokenizer", help="tokenizer directory, if it has moved")
    parser.add_argument("--limit", type=int, default=100, help="how many texts to use")
    options = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        print(*compare_on_annotations(**options), sep="\n")
    except (ValueError, OSError, MediaError) as error:
        print(f"compare_precision: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
