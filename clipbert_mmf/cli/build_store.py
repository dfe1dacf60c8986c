"""``clipbert build-store``: a store of videos packed into LMDB or tar shards, or unpacked into a folder."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from clipbert_mmf.cli.engine_options import add_ray, choose_ray
from clipbert_mmf.cli.model_options import add_json
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import count, filled, place, positive
from clipbert_mmf.processes import count_cores
from clipbert_mmf.shown_text import escape_text
from clipbert_mmf.video.endings import MEDIA_ENDINGS
from clipbert_mmf.video.stores.build import build_store, describe_report, report_path, write_report
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.stores.reencode import Encoding
from clipbert_mmf.video.stores.writers import WRITERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("source", type=filled, help="store to read: folder, LMDB, tar shards or scheme://...")
    parser.add_argument("target", type=place, help="folder of the new store; run again to go on after a stop")
    parser.add_argument("--to", choices=sorted(WRITERS), default="lmdb", help="kind of the new store")
    parser.add_argument(
        "--media",
        choices=sorted(MEDIA_ENDINGS),
        help="what to take (default: videos, or images where there are none)",
    )
    parser.add_argument("--workers", type=count(), help="media at the same time (default: one for each core)")
    add_ray(parser)
    parser.add_argument("--shard-mib", type=count(), default=1024, help="size of a tar shard")
    parser.add_argument(
        "--reencode", action="store_true", help="re-encode videos to H.264 with the options below"
    )
    parser.add_argument("--short-side", type=count(), help="largest shorter side, pixels")
    parser.add_argument("--fps", type=positive, help="largest frame rate")
    parser.add_argument("--gop", type=count(), default=Encoding.gop, help="frames between key frames")
    parser.add_argument("--crf", type=count(0), default=Encoding.crf, help="quality, lower is better")
    parser.add_argument(
        "--no-verify", action="store_true", help="take files as they are, also empty and cut ones"
    )
    parser.add_argument("--report", type=Path, help="JSON to write; beside the target without it")
    add_json(parser)


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
