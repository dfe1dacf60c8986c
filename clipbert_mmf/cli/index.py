"""``clipbert index``: the embeddings of a library of videos, kept for searches."""

from __future__ import annotations

import argparse
import os
import sys

from tqdm import tqdm

from clipbert_mmf.cli.engine_options import choose_mapper
from clipbert_mmf.cli.model_options import load_model
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.library.building import IndexOptions, build_index
from clipbert_mmf.library.lance import import_lancedb
from clipbert_mmf.library.media import detect_source
from clipbert_mmf.library.shares import find_rank
from clipbert_mmf.shown_text import escape_text


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
