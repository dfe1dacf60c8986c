"""``clipbert score``: how well captions fit a video."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.model_options import NOT_CALIBRATED, add_backend, add_model_options, load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import filled
from clipbert_mmf.inference.asking import clean_texts
from clipbert_mmf.inference.media import require_location
from clipbert_mmf.shown_text import escape_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.epilog = NOT_CALIBRATED
    add_model_options(parser)
    add_backend(parser)
    parser.add_argument("video", type=filled, help="video or image file, or an iopath URL")
    parser.add_argument("texts", nargs="+", metavar="text", help="captions to compare")


def run(options: argparse.Namespace) -> int:
    """Print the probability of each text, the best first."""
    clean_texts(options.texts)
    model = load_model(options, lambda: require_location(options.video))
    scored = model.score(options.video, options.texts)
    order = sorted(range(len(scored.texts)), key=lambda n: -scored.scores[n])
    lines = [f"{scored.probabilities[n]:7.1%}  {escape_text(scored.texts[n])}" for n in order]
    print_result(options, scored.to_dict(), lines)
    return 0
