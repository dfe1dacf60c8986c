"""``clipbert evaluate``: metrics from a file of predictions, and the files that benchmarks take."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.inference.predictions import (
    evaluate_predictions,
    find_predictions,
    read_predictions,
    write_ranks,
    write_vqa_answers,
)
from clipbert_mmf.scoring.outcomes import read_outcomes
from clipbert_mmf.scoring.uncertainty import estimate_intervals


def run(options: argparse.Namespace) -> int:
    """Print the metrics, with their 95 % intervals for people, and write the files that are asked for."""
    if options.file.is_dir():
        records, file = find_predictions(options.file, options.dataset)
        if file is None:
            named = f" of dataset '{options.dataset}'" if options.dataset else ""
            raise FileNotFoundError(
                f"'{options.file}' holds no predictions{named}; write them: clipbert predict {options.file}"
            )
    else:
        records, file = read_predictions(options.file), options.file
    metrics = evaluate_predictions(records)
    if options.vqa_server:
        write_vqa_answers(records, options.vqa_server)
    if options.ranks:
        write_ranks(records, options.ranks, options.depth)
    intervals = estimate_intervals(read_outcomes(metrics))
    lines = [str(file)] if options.file.is_dir() else []
    for name, value in metrics.items():
        told = f" ({intervals[name].low:.4g} to {intervals[name].high:.4g})" if name in intervals else ""
        lines.append(f"{name:38} {value:.6g}{told}")
    print_result(options, metrics, lines)
    return 0
