"""``clipbert report``: one HTML page about a run."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import require_folder
from clipbert_mmf.report.page import write_report


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
