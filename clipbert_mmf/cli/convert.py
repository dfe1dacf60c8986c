"""``clipbert convert``: a trained model as files for others."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.model_options import check_model_options
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.inference.conversion import convert_weights


def run(options: argparse.Namespace) -> int:
    """Write the model and print where it is."""
    check_model_options(options)
    written = convert_weights(
        options.model,
        options.out,
        to=options.to,
        replace=options.replace,
        device=options.device,
        config=options.config,
        dataset=options.dataset,
        tokenizer=options.tokenizer,
        answers=options.answers,
        revision=options.revision,
    )
    print_result(options, {"out": str(written)}, [f"wrote {written}"])
    return 0
