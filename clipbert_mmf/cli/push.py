"""``clipbert push``: a trained model, with its card, on the Hugging Face hub."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.model_options import load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.inference.hub import require_repo_name


def run(options: argparse.Namespace) -> int:
    """Upload the model and print where it is."""
    commit = load_model(options, lambda: require_repo_name(options.repo)).push_to_hub(
        options.repo,
        private=options.private,
        license=options.license,
        revision=options.revision,
        message=options.message,
    )
    print_result(options, {"repo": options.repo, "commit": commit}, [f"wrote {options.repo}: {commit}"])
    return 0
