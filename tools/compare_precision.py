"""Half precision against fp32 on a model and its videos: ``python tools/compare_precision.py MODEL --media DIR --texts FILE``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clipbert_mmf.inference.precision import PRECISIONS, compare_precision  # noqa: E402
from clipbert_mmf.inference.pretrained import ClipBert  # noqa: E402
from clipbert_mmf.video.errors import MediaError  # noqa: E402
from clipbert_mmf.video.store import open_store  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and print a line for each precision; 1 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="saved folder, a run's folder, checkpoint or hub name")
    parser.add_argument("--media", required=True, help="folder or LMDB of videos or images")
    parser.add_argument("--texts", required=True, help="annotation file; its texts and the media it names are used")
    parser.add_argument("--corpus", default="msrvtt", help="whose annotation format it is")
    parser.add_argument("--precision", nargs="+", default=sorted(PRECISIONS), choices=sorted(PRECISIONS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokenizer", help="tokenizer directory, if it has moved")
    parser.add_argument("--limit", type=int, default=100, help="of media and of texts")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        for comparison in _compare(options):
            print(comparison)
    except (ValueError, OSError, MediaError) as error:
        print(f"compare_precision: {error}", file=sys.stderr)
        return 1
    return 0


def _compare(options):
    from clipbert_mmf.datasets.annotations import read_annotations

    model = ClipBert.from_pretrained(options.model, device=options.device, tokenizer=options.tokenizer)
    records = list(read_annotations(options.texts, options.corpus))[: options.limit]
    store = open_store(options.media)
    keys = list(dict.fromkeys(record.media_key for record in records))
    frames = [model.preprocessing.read(store.read(key), key=key) for key in keys]
    for precision in options.precision:
        yield compare_precision(model, frames, [record.text for record in records], precision)


if __name__ == "__main__":
    sys.exit(main())
