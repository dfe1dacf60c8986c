"""One HTML page of a run, to look at and to send: ``python tools/report.py RUN_DIR``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tqdm import tqdm

from clipbert_mmf.inference.saliency import SALIENCY_METHODS
from clipbert_mmf.report.page import write_report


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the page; 1 if the folder is none of a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "run_dir", help="folder of a run, with its predictions in it or in a folder 'predictions'"
    )
    parser.add_argument("--out", help="file to write (default: RUN_DIR/report.html)")
    parser.add_argument(
        "--baseline", nargs="*", default=[], metavar="RUN_DIR", help="earlier runs to compare with"
    )
    parser.add_argument("--data-dir", help="where the dataset is now, if it was moved")
    parser.add_argument(
        "--dataset", help="whose predictions to show, for a run over several (default: the newest)"
    )
    parser.add_argument("--examples", type=int, default=3, help="best and worst predictions to show, of each")
    parser.add_argument(
        "--saliency",
        choices=list(SALIENCY_METHODS),
        help="how saliency is measured (default: by the model's grid)",
    )
    options = parser.parse_args(arguments)
    try:
        path = write_report(
            options.run_dir,
            options.out,
            baselines=options.baseline,
            data_dir=options.data_dir,
            num_examples=options.examples,
            dataset=options.dataset,
            saliency=options.saliency,
            progress=lambda examples: tqdm(examples, desc="examples"),
        )
    except (ValueError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
