"""Judges a file of predictions again, and writes what benchmarks take: ``python tools/evaluate_predictions.py FILE``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clipbert_mmf.inference.predictions import (
    evaluate_predictions,
    read_predictions,
    write_ranks,
    write_vqa_answers,
)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, print the metrics; 1 if the file cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="JSON of evaluation.predict=true or mmf_predict")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--vqa-server", metavar="OUT", help="write answers for the VQA evaluation server")
    parser.add_argument("--ranks", metavar="OUT", help="write a CSV of text-to-video ranks")
    parser.add_argument("--depth", type=int, default=10, help="videos for each text in --ranks")
    options = parser.parse_args(arguments)
    try:
        records = read_predictions(options.file)
        metrics = evaluate_predictions(records)
        if options.vqa_server:
            write_vqa_answers(records, options.vqa_server)
        if options.ranks:
            write_ranks(records, options.ranks, options.depth)
    except (ValueError, OSError) as error:
        print(f"evaluate_predictions: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(metrics, indent=2))
    else:
        print("\n".join(f"{name:38} {value:.6g}" for name, value in metrics.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
