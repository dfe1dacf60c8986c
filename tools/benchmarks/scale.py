"""Measures how time and memory grow.

Training against batch, clips, frames and frame size; evaluation against videos and texts; the data layer
against records; training against processes. Writes JSON, Markdown tables and pictures. A number in brackets
is the power with which the number grew since the row
before: 1 is linear.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import torch

from benchmarks.curves import Curve, draw_curves, format_curves
from benchmarks.scale_data import data_curves
from benchmarks.scale_model import evaluation_curves, training_curves
from benchmarks.scale_processes import process_curves
from benchmarks.table import CLOCKS, write_json

#: Part -> what measures it, from a folder for files, whether it is quick, and the clock.
PARTS = {
    "training": training_curves,
    "evaluation": evaluation_curves,
    "data": data_curves,
    "processes": process_curves,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``benchmark.py scale``."""
    parser.add_argument(
        "--cache", type=Path, help="folder for generated corpora and runs; a temporary one without it"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("save/benchmark_scale.json"),
        help="JSON to write; table and pictures lie beside it",
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--clock", choices=list(CLOCKS), default="wall", help="cpu: for one thread beside other work"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small networks and corpora: checks that it runs"
    )


def run(args: argparse.Namespace) -> list[Curve]:
    """Measure, print the tables, write JSON, tables and pictures."""
    torch.set_num_threads(args.threads)
    curves: list[Curve] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.cache or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for part in args.parts:
            found = PARTS[part](folder.resolve(), args.quick, args.clock)
            print(format_curves(found) + "\n", flush=True)
            curves += found
    write_json(
        args.output,
        "scale",
        [],
        threads=args.threads,
        clock=args.clock,
        torch=torch.__version__,
        curves=[dataclasses.asdict(curve) for curve in curves],
    )
    args.output.with_suffix(".md").write_text(format_curves(curves) + "\n", encoding="utf-8")
    for path in draw_curves(curves, args.output.parent):
        print(path)
    return curves
