"""``clipbert compare-precision``: half precision beside fp32 on media of your own."""

from __future__ import annotations

import argparse
import dataclasses
import logging

from clipbert_mmf.annotations import FORMATS
from clipbert_mmf.cli.model_options import check_model_options
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.configuration import choose
from clipbert_mmf.inference.precision import compare_on_annotations
from clipbert_mmf.video.stores.open import detect_store


def run(options: argparse.Namespace) -> int:
    """Print one line for each precision."""
    logging.getLogger("clipbert_mmf").setLevel(logging.ERROR)
    choose("--corpus", options.corpus, FORMATS)
    check_model_options(options, lambda: _check_places(options))
    found = compare_on_annotations(
        options.model,
        options.media,
        options.texts,
        options.corpus,
        options.precisions,
        options.limit,
        device=options.device,
        config=options.config,
        dataset=options.dataset,
        tokenizer=options.tokenizer,
    )
    print_result(options, [dataclasses.asdict(one) for one in found], map(str, found))
    return 0


def _check_places(options: argparse.Namespace) -> None:
    if not options.texts.is_file():
        raise FileNotFoundError(f"--texts {options.texts}: no such file")
    detect_store(options.media)
