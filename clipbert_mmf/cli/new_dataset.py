"""``clipbert new-dataset``: the first files of a dataset of your own."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.skeleton import write_dataset_skeleton


def run(options: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    written = [str(path) for path in write_dataset_skeleton(options.name, options.out)]
    folder = options.out / options.name
    steps = [
        f"now put the videos into {folder}/videos and their texts into {folder}/annotations.csv, then:",
        f"  python {folder}/test_{options.name}.py",
        f"  mmf_run config={folder}/configs/train.yaml model=clipbert dataset={options.name} env.user_dir={folder} "
        f"env.save_dir=save/{options.name}",
    ]
    print_result(options, written, [*written, *steps])
    return 0
