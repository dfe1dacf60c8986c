"""``clipbert index``: the embeddings of a library of videos, kept for searches."""

from __future__ import annotations

import argparse
import os
import sys

from tqdm import tqdm

from clipbert_mmf.cli.engine_options import add_ray, choose_mapper
from clipbert_mmf.cli.model_options import add_backend, add_model_options, load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import count, filled, positive
from clipbert_mmf.library.building import EXACT_BYTES, NEAREST, IndexOptions, build_index
from clipbert_mmf.library.lance import import_lancedb
from clipbert_mmf.library.media import detect_source
from clipbert_mmf.library.shares import find_rank
from clipbert_mmf.shown_text import escape_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_model_options(parser)
    add_backend(parser)
    parser.add_argument(
        "source",
        type=filled,
        help="folder, LMDB, tar shards, scheme://..., or a table with paths or URLs of videos",
    )
    parser.add_argument(
        "--out", type=filled, required=True, metavar="INDEX", help="folder or address of the index"
    )
    parser.add_argument(
        "--update", action="store_true", help="encode changed files again and remove those that are gone"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read the content of every file and every row, whatever its state",
    )
    parser.add_argument(
        "--window-sec",
        type=positive,
        metavar="S",
        help="a row for each window of S seconds (default: the model's clips over the whole video, a row for each and "
        "one for their mean)",
    )
    parser.add_argument(
        "--keep-tokens",
        nargs="?",
        const="bf16",
        choices=("bf16", "fp32"),
        help="keep the visual tokens too, so that a search reads no video (default: bf16 where it is given)",
    )
    parser.add_argument(
        "--nearest",
        choices=NEAREST,
        default="auto",
        help="how searches find candidates: exact, approximate, or auto, which measures both for more than "
        f"{EXACT_BYTES >> 20} MiB of embeddings and takes what costs less (default: auto)",
    )
    parser.add_argument("--workers", type=count(), help="processes that encode (default: 1)")
    add_ray(parser)
    parser.add_argument("--timeout", type=positive, default=60.0, help="seconds for reading one video")


def run(options: argparse.Namespace) -> int:
    """Build or update an index and print the counts; return 0 also where some media cannot be read."""
    settings = IndexOptions(
        options.window_sec,
        options.keep_tokens,
        options.update,
        options.verify,
        timeout_sec=options.timeout,
        nearest=options.nearest,
    )
    import_lancedb()
    engine = choose_mapper(options)
    model = load_model(options, lambda: detect_source(options.source))
    with tqdm(unit="file", desc="indexing", disable=None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = build_index(
            model,
            options.model,
            options.source,
            options.out,
            settings,
            engine,
            tell=lambda line: sys.stderr.write(line + "\n"),
            advance=advance,
        )
    if find_rank(os.environ)[0] > 0:
        return 0
    print_result(options, {"out": options.out, **report.to_dict()}, [f"{options.out}: {report.describe()}"])
    for path, reason in report.unreadable.items():
        sys.stderr.write(escape_text(f"unreadable: {path}: {reason}") + "\n")
    return 0
