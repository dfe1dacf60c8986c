"""``clipbert build-store``: a store of videos packed into LMDB or tar shards, or unpacked into a folder."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from tqdm import tqdm

from clipbert_mmf.cli.engine_options import choose_ray
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.processes import count_cores
from clipbert_mmf.shown_text import escape_text
from clipbert_mmf.video.stores.build import build_store, describe_report, report_path, write_report
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.stores.reencode import Encoding


def run(options: argparse.Namespace) -> int:
    """Build a store with a progress bar; return 1 if some media failed."""
    encoding = None
    if options.reencode or options.short_side or options.fps:
        encoding = Encoding(options.short_side, options.fps, options.gop, options.crf)
    mapper = choose_ray(options)
    source = open_store(options.source, media=options.media)
    shards = {"shard_bytes": options.shard_mib * 2**20} if options.to == "tar" else {}
    with tqdm(total=len(source), unit="file", desc=f"building {options.to}") as progress:
        report = build_store(
            source,
            options.target,
            options.to,
            encoding=encoding,
            num_workers=options.workers or count_cores(),
            verifies=not options.no_verify,
            advance=lambda count: _advance(progress, count),
            mapper=mapper,
            **shards,
        )
    write_report(report, options.report or report_path(options.target))
    print_result(options, asdict(report), [describe_report(report)])
    for key, reason in report.failed.items():
        sys.stderr.write(escape_text(f"failed: {key}: {reason}") + "\n")
    return 1 if report.failed else 0


def _advance(progress: tqdm, num_media: int) -> None:
    progress.update(num_media)
