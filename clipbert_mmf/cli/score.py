"""``clipbert score``: how well captions fit a video."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.model_options import load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.inference.asking import clean_texts
from clipbert_mmf.inference.media import require_location
from clipbert_mmf.shown_text import escape_text


def run(options: argparse.Namespace) -> int:
    """Print the probability of each text, the best first."""
    clean_texts(options.texts)
    model = load_model(options, lambda: require_location(options.video))
    scored = model.score(options.video, options.texts)
    order = sorted(range(len(scored.texts)), key=lambda n: -scored.scores[n])
    lines = [f"{scored.probabilities[n]:7.1%}  {escape_text(scored.texts[n])}" for n in order]
    print_result(options, scored.to_dict(), lines)
    return 0
