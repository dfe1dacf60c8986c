"""``clipbert push``: a trained model, with its card, on the Hugging Face hub."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.model_options import add_model_options, load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.inference.hub import require_repo_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser)
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME", help="repository; made if missing")
    parser.add_argument("--private", action="store_true", default=None, help="a new repository is private")
    parser.add_argument("--license", help="licence of the weights for the card, such as bsd-3-clause")
    parser.add_argument("--revision", help="branch, which must exist (default: main)")
    parser.add_argument("--message", help="title of the commit")


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
