"""Measure how fast the full-size model trains and scores, against the plain build a user would write from libraries.

One thread, random weights, the same in both; peer and ours in turn within one run. In float32 the scores must
be equal within 1e-4 and the rankings identical, or the program ends. The limit beside each number is the
share of this machine's matrix-product peak, measured here for each precision.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.largest_batch import find_largest_batches
from benchmarks.media import make_video
from benchmarks.memory import read_peak_mib, reset_peak
from benchmarks.networks import Pair, load_settings
from benchmarks.table import CLOCKS, Row, compare, format_rows, measure_seconds, write_json
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.training.sharding import clip_gradients
from clipbert_mmf.transforms.frames import pad_channels_last
from clipbert_mmf.video.decode import describe_video, read_frames
from clipbert_mmf.video.sampling import sample_clips

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``benchmark.py model``."""
    parser.add_argument(
        "--cache", type=Path, default=Path("save/benchmark_media"), help="folder of generated files"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("save/benchmark_model.json"), help="JSON to write"
    )
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds per case; the median counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument(
        "--device", default="cpu", help="cpu or cuda; on a GPU also the largest batch of figure 5"
    )
    parser.add_argument(
        "--clock", choices=list(CLOCKS), default="wall", help="cpu: for one thread beside other work"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a small network and few rounds: checks that it runs"
    )


def cast(precision: str, device: str = "cpu"):
    """Return the autocast context of a precision."""
    dtype = PRECISIONS[precision]
    return torch.autocast(device.partition(":")[0], dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def measure_peak(dtype: torch.dtype, args: argparse.Namespace) -> float:
    """Return the matrix-product peak of this machine and thread count in FLOP/s."""
    size = 256 if args.quick else 1536 if args.device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=args.device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        best = min(best, measure_seconds(lambda: a @ b, args.clock))
    return 2 * size**3 / best


def count_flops(call) -> int:
    """Return the floating-point operations of one call, products only."""
    # Convolutions that are fused with what follows them are unknown to the counter.
    with FlopCounterMode(display=False) as counter, torch.backends.mkldnn.flags(enabled=False):
        call()
    return counter.get_total_flops()


def training_rows(pair: Pair, args: argparse.Namespace, peaks: dict[str, float]) -> tuple[list[Row], dict]:
    """One update of 2 videos x 2 texts, one clip: forward, backward, AdamW."""
    frames, (ids, mask) = pair.make_frames(2), pair.make_texts(2, 2)
    targets = torch.tensor([1, 0, 1, 0], device=args.device)

    def make_step(model, forward, clip, fused, precision):
        model.train()
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=fused)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with cast(precision, args.device):
                scores = forward(model)
            F.cross_entropy(scores.float(), targets).backward()
            clip(model, 5.0)
            optimizer.step()

        return step

    def clip_plainly(model, limit):
        torch.nn.utils.clip_grad_norm_(model.parameters(), limit)

    plain = make_step(pair.plain, lambda m: m(frames[:, 0].float(), ids, mask), clip_plainly, False, "fp32")
    rows, facts = [], {}
    for precision, goal in (("fp32", 1.5), ("bf16", 2.7)):
        ours = make_step(
            pair.ours, lambda m: m(frames, ids, mask, ids * 0)["scores"], clip_gradients, True, precision
        )
        name = f"training step, 2 videos x 2 texts, {precision}"
        rows.append(compare(name, "plain build, fp32", plain, ours, goal, args.rounds, args.clock))
        facts[name] = count_flops(ours) / (rows[-1].ours_ms / 1e3) / peaks[precision]
    return rows, facts


@torch.no_grad()
def scoring_rows(pair: Pair, args: argparse.Namespace, peaks: dict[str, float]) -> tuple[list[Row], dict]:
    """One clip of one video against 64 captions; equality is checked."""
    pair.ours.eval(), pair.plain.eval()
    frames, (ids, mask) = pair.make_frames(1), pair.make_texts(1, 64)

    def plain():
        # Eight texts at a time, as a released evaluation batch; pixels are encoded for each.
        batches = zip(ids.split(8, 1), mask.split(8, 1), strict=True)
        return torch.cat([pair.plain(frames[:, 0].float(), *texts) for texts in batches])

    def ours(precision):
        with cast(precision, args.device):
            return pair.ours(frames, ids, mask, ids * 0)["scores"]

    expected, found = plain(), ours("fp32")
    difference = float((expected - found).abs().max())
    same = torch.equal((expected[:, 1] - expected[:, 0]).argsort(), (found[:, 1] - found[:, 0]).argsort())
    if difference > 1e-4 or not same:
        sys.exit(
            f"scores differ by {difference:.2e}, rankings {'agree' if same else 'differ'}: nothing is "
            f"compared"
        )
    rows, facts = [], {"largest difference of scores": difference}
    for precision, goal in (("fp32", 1.5), ("bf16", 5.0)):
        name = f"scoring 1 clip x 64 captions, {precision}"
        rows.append(
            compare(name, "plain build, fp32", plain, partial(ours, precision), goal, args.rounds, args.clock)
        )
        facts[name] = count_flops(partial(ours, precision)) / (rows[-1].ours_ms / 1e3) / peaks[precision]
    return rows, facts


@torch.no_grad()
def retrieval_row(pair: Pair, args: argparse.Namespace, peaks: dict[str, float]) -> tuple[list[Row], dict]:
    """128 captions against a video of 4 clips, from an encoded file to scores, in bf16.

    Other videos cost as much.
    """
    texts, clips, seconds = (16, 2, 2) if args.quick else (128, 4, 12)
    path = make_video(args.cache / f"{seconds}s_320x240_gop250.mp4", seconds, 320, 240, 250)
    data, (ids, mask) = path.read_bytes(), pair.make_texts(1, texts)
    pair.ours.eval(), pair.plain.eval()

    def decode(times):
        return read_frames(
            data, times, transform=lambda frame: pad_channels_last(frame, image_size=pair.size)
        ).to(args.device)

    def choose(info):
        return sample_clips("uniform", info.duration_sec, clips, 2, 1.0, start_sec=info.start_sec)

    def plain():
        for clip in choose(describe_video(data)):  # one open and decode per clip
            frames = decode(clip[None])
            for start in range(0, texts, 8):
                pair.plain(frames.float(), ids[:, start : start + 8], mask[:, start : start + 8])

    def ours():
        with cast("bf16", args.device):
            pair.ours(decode(choose)[None], ids, mask, ids * 0)

    row = compare(
        f"retrieval, a video x {texts} captions, {clips} clips, from its file, bf16",
        "plain build, fp32",
        plain,
        ours,
        5.0,
        max(1, args.rounds // 3),
        args.clock,
    )
    frames = decode(choose)[None]
    parts = {"decode": lambda: decode(choose), "CNN": lambda: pair.ours.encode_clips(frames)}
    shares = {}
    for name, call in parts.items():
        with cast("bf16", args.device):
            shares[name] = measure_seconds(call, args.clock) / (row.ours_ms / 1e3)
    shares["transformer"] = 1 - sum(shares.values())
    return [row], {"shares of retrieval": {name: round(share, 3) for name, share in shares.items()}}


def memory_row(pair: Pair, args: argparse.Namespace, peaks: dict[str, float]) -> tuple[list[Row], dict]:
    """Peak memory of a training step of 8 clips with and without activation checkpointing, each in its own process.

    On a CPU each is done twice: once timed, and once with a C library that gives memory back at once, so that
    what is in use counts, as on a GPU, and not what is kept for later.
    """
    lean = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    seconds, kept, used = {}, {}, {}
    for recompute in (False, True):
        seconds[recompute], kept[recompute] = train_in_process(args, recompute, {})
        used[recompute] = (
            train_in_process(args, recompute, lean)[1] if args.device == "cpu" else kept[recompute]
        )
    row = Row(
        "peak memory of a training step, 8 clips, fp32",
        "without activation checkpointing",
        round(used[False]),
        round(used[True]),
        round(used[False] / used[True], 2),
        2.0,
        "MiB",
    )
    return [row], {
        "seconds with activation checkpointing over without": seconds[True] / seconds[False],
        "MiB of the process without and with activation checkpointing": [
            round(kept[False]),
            round(kept[True]),
        ],
    }


def train_in_process(
    args: argparse.Namespace, recompute: bool, environment: dict[str, str]
) -> tuple[float, float]:
    """Return the seconds and the peak in MiB of ``train``, done in another process."""
    chosen = {"recompute": recompute, "quick": args.quick, "clock": args.clock, "device": args.device}
    command = [sys.executable, __file__, str(args.threads), json.dumps(chosen)]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["sec"], found["peak_mib"]


def train(recompute: bool, quick: bool, clock: str, device: str) -> dict[str, float]:
    """Run two steps; return seconds of the faster and what a step adds to the process's memory, gradients included."""
    torch.manual_seed(0)
    settings = {**load_settings(quick), "activation_checkpointing": recompute}
    network = build_network(parse_model_config(settings)).train().to(device)
    size, vocab_size = 64 if quick else 448, settings["transformer"]["vocab_size"]
    frames = torch.randint(0, 256, (1, 8, 2, 3, size, size), dtype=torch.uint8, device=device)
    ids = torch.randint(5, vocab_size, (1, 2, 12), device=device)
    targets = torch.tensor([1, 0], device=device)

    def step(frames):
        network.zero_grad(set_to_none=True)
        scores = network(frames, ids, ids * 0 + 1, ids * 0)["scores"]
        F.cross_entropy(scores, targets).backward()

    step(frames[:, :1, :1])  # what libraries load at their first call is no part of a step
    network.zero_grad(set_to_none=True)
    reset_peak(device)
    before = read_peak_mib(device)
    seconds = min(measure_seconds(lambda: step(frames), clock) for _ in range(2))
    return {"sec": seconds, "peak_mib": read_peak_mib(device) - before}


#: What can be measured alone, on a machine that is not one's own.
PARTS = {"scoring": scoring_rows, "retrieval": retrieval_row, "training": training_rows, "memory": memory_row}


def run(args: argparse.Namespace) -> list[Row]:
    """Measure, print the table, write the JSON."""
    torch.set_num_threads(args.threads)
    args.cache.mkdir(parents=True, exist_ok=True)
    args.rounds = 1 if args.quick else args.rounds
    peaks = {name: measure_peak(dtype or torch.float32, args) for name, dtype in PRECISIONS.items()}
    pair = Pair(args.quick, args.device)
    rows: list[Row] = []
    facts: dict[str, Any] = {"peak_gflops": {name: round(peak / 1e9, 1) for name, peak in peaks.items()}}
    for name in args.parts:
        part = PARTS[name](pair, args, peaks)
        rows += part[0]
        facts.update({key: float(f"{x:.3g}") if isinstance(x, float) else x for key, x in part[1].items()})
    if args.device != "cpu" and "memory" in args.parts:
        facts["largest batch"] = find_largest_batches(pair.ours, pair.size, torch.bfloat16, args.device)
    print(format_rows(rows))
    cases = {row.case for row in rows}
    for key, value in facts.items():
        print(f"{key}: {value}" + (" of the peak" if key in cases else ""))
    write_json(
        args.output,
        "model",
        rows,
        rounds=args.rounds,
        threads=args.threads,
        clock=args.clock,
        device=args.device,
        torch=torch.__version__,
        facts=facts,
    )
    return rows


if __name__ == "__main__":  # a process of memory_row
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps(train(**json.loads(sys.argv[2]))))
