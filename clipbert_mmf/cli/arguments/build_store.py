"""The arguments of ``clipbert build-store``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_json, add_ray
from clipbert_mmf.cli.values import count, filled, place, positive
from clipbert_mmf.video.endings import MEDIA_ENDINGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("source", type=filled, help="store to read: folder, LMDB, tar shards or scheme://...")
    parser.add_argument("target", type=place, help="folder of the new store; run again to go on after a stop")
    parser.add_argument(
        "--to", choices=("folder", "lmdb", "tar"), default="lmdb", help="kind of the new store"
    )
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
    parser.add_argument("--gop", type=count(), default=12, help="frames between key frames")
    parser.add_argument("--crf", type=count(0), default=20, help="quality, lower is better")
    parser.add_argument(
        "--no-verify", action="store_true", help="take files as they are, also empty and cut ones"
    )
    parser.add_argument("--report", type=Path, help="JSON to write; beside the target without it")
    add_json(parser)
