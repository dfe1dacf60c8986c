"""``clipbert report``: one HTML page about a run."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from clipbert_mmf.cli.model_options import add_json, add_user_dir
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import count, filled, require_folder
from clipbert_mmf.inference.saliency import SALIENCY_METHODS
from clipbert_mmf.report.page import write_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "run_dir",
        type=filled,
        help="folder of a run, with its predictions in it or in a folder 'predictions'",
    )
    parser.add_argument("--out", help="file to write (default: RUN_DIR/report.html)")
    parser.add_argument(
        "--baseline", nargs="*", default=[], metavar="RUN_DIR", help="earlier runs to compare with"
    )
    parser.add_argument("--data-dir", help="where the dataset is now, if it was moved")
    parser.add_argument(
        "--dataset", help="dataset whose predictions are shown, for a run over several (default: the newest)"
    )
    parser.add_argument(
        "--examples",
        type=count(0),
        default=3,
        help="best and worst predictions to show, of each (default: 3)",
    )
    parser.add_argument(
        "--saliency",
        choices=list(SALIENCY_METHODS),
        help="how saliency is measured (default: by the model's grid)",
    )
    add_user_dir(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page and print its path."""
    if options.data_dir:
        require_folder(options.data_dir, "--data-dir")
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
    print_result(options, {"out": str(path)}, [str(path)])
    return 0
