"""``clipbert answer``: the answer to a question about a video."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.model_options import load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.inference.asking import clean_question
from clipbert_mmf.inference.media import require_location


def run(options: argparse.Namespace) -> int:
    """Print the answer, the next best ones, and the clip that speaks for it most."""
    clean_question(options.question, options.options, options.top_k)
    model = load_model(options, lambda: require_location(options.video))
    answer = model.answer(options.video, options.question, options.options, options.top_k)
    if answer.probability is None:
        lines = [f"{answer.answer}  (before rounding: {answer.value:.2f})"]
    else:
        lines = [f"{chance:7.1%}  {candidate}" for candidate, chance in answer.candidates]
    times = [clip for clip in answer.clips if clip.start_sec is not None]
    if len(times) > 1:
        best = max(times, key=lambda clip: clip.scores[0])
        lines.append(f"clearest from {best.start_sec:.1f} s to {best.end_sec:.1f} s")
    print_result(options, answer.to_dict(), lines)
    return 0
