"""The arguments of ``clipbert check``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.arguments.shared import add_backend, add_json, add_ray, add_user_dir
from clipbert_mmf.cli.values import count, filled, positive
from clipbert_mmf.video.endings import MEDIA_ENDINGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("store", type=filled, help="folder, LMDB, tar shards or scheme://...")
    parser.add_argument(
        "--output", type=Path, default=Path("save/check"), help="folder of journal and report"
    )
    parser.add_argument("--workers", type=count(), help="media at the same time (default: one for each core)")
    add_ray(parser)
    parser.add_argument("--random", type=count(0), default=2, help="frames beside the first and the last")
    parser.add_argument("--timeout", type=positive, default=60.0, help="seconds for one medium")
    parser.add_argument(
        "--media",
        choices=sorted(MEDIA_ENDINGS),
        help="what to check (default: videos, or images where there are none)",
    )
    add_backend(parser)
    add_user_dir(parser)
    add_json(parser)
    parser.add_argument("--fresh", action="store_true", help="forget the journal of an earlier check")
