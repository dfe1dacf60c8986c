"""Measure how fast the full-size model trains and scores, against what else computes it.

Peers: with ``--released PATH`` the released ClipBERT's own transformer, at the same precision; the released
evaluation's way, written from libraries (pixels encoded once for 64 texts), at the same precision; and a plain
build that encodes pixels again for every 8 texts, in fp32.

One thread, random weights, the same in all; peer and ours in turn within one run. In float32 the scores must
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
from benchmarks.released import ReleasedClipBert
from benchmarks.table import CLOCKS, Row, compare, format_rows, measure_seconds, write_json
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.training.sharding import clip_gradients
from clipbert_mmf.transforms.frames import pad_channels_last
from clipbert_mmf.video.decode import describe_video, read_frames
from clipbert_mmf.video.sampling import sample_clips

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}
#: Texts that go through with one encoding of the pixels: in the released evaluation, and in the plain build.
RELEASED_TEXTS, PLAIN_TEXTS = 64, 8
PLAIN = "plain build (eager attention, all padding, pixels for every 8 texts), fp32"
#: Factors over a peer of the same precision.
SCORING_GOALS, TRAINING_GOALS = {"fp32": 1.8, "bf16": 1.4}, {"fp32": 1.7, "bf16": 1.8}


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
    parser.add_argument(
        "--released",
        type=Path,
        help="checkout of github.com/jayleicn/ClipBERT, whose own model is measured too",
    )
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
    calls = [lambda: a @ b]
    if args.device == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        # PyTorch's own product is not always this machine's fastest.
        calls.append(lambda: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], ""))
    for call in 6 * calls:
        best = min(best, measure_seconds(call, args.clock))
    return 2 * size**3 / best


def count_flops(call) -> int:
    """Return the floating-point operations of one call, products only."""
    # Convolutions that are fused with what follows them are unknown to the counter.
    with FlopCounterMode(display=False) as counter, torch.backends.mkldnn.flags(enabled=False):
        call()
    return counter.get_total_flops()


def list_peers(pair: Pair, args: argparse.Namespace) -> dict[str, torch.nn.Module]:
    """Return the peers that are measured at the same precision, by name."""
    peers: dict[str, torch.nn.Module] = {"the released way, written from libraries": pair.plain}
    if args.released:
        sizes = load_settings(args.quick)["transformer"]
        released = ReleasedClipBert(args.released, pair.ours, pair.plain, sizes)
        peers = {"the released ClipBERT": released.to(args.device), **peers}
    return peers


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

    def forward(model):
        return model(frames[:, 0].float(), ids, mask)

    rows, facts = [], {}
    for precision, first_goal in (("fp32", 1.5), ("bf16", 2.7)):
        ours = make_step(
            pair.ours, lambda m: m(frames, ids, mask, ids * 0)["scores"], clip_gradients, True, precision
        )
        name = f"training step, 2 videos x 2 texts, {precision}"
        for peer, model in list_peers(pair, args).items():
            step = make_step(model, forward, clip_plainly, False, precision)
            goal = TRAINING_GOALS[precision]
            rows.append(compare(name, f"{peer}, {precision}", step, ours, goal, args.rounds, args.clock))
        facts[name] = count_flops(ours) / (rows[-1].ours_ms / 1e3) / peaks[precision]
        plain = make_step(pair.plain, forward, clip_plainly, False, "fp32")
        rows.append(compare(name, PLAIN, plain, ours, first_goal, args.rounds, args.clock))
    return rows, facts


@torch.no_grad()
def scoring_rows(pair: Pair, args: argparse.Namespace, peaks: dict[str, float]) -> tuple[list[Row], dict]:
    """One clip of one video against 64 captions; equality is checked."""
    pair.ours.eval(), pair.plain.eval()
    frames, (ids, mask) = pair.make_frames(1), pair.make_texts(1, 64)

    def score(model, precision="fp32", texts_each=RELEASED_TEXTS):
        batches = zip(ids.split(texts_each, 1), mask.split(texts_each, 1), strict=True)
        with cast(precision, args.device):
            return torch.cat([model(frames[:, 0].float(), *texts) for texts in batches]).float()

    def plain():
        return score(pair.plain, texts_each=PLAIN_TEXTS)

    def ours(precision):
        with cast(precision, args.device):
            return pair.ours(frames, ids, mask, ids * 0)["scores"]

    peers, found, difference = list_peers(pair, args), ours("fp32"), 0.0
    for peer, model in peers.items():
        expected = score(model.eval())
        difference = max(difference, float((expected - found).abs().max()))
        same = torch.equal((expected[:, 1] - expected[:, 0]).argsort(), (found[:, 1] - found[:, 0]).argsort())
        if difference > 1e-4 or not same:
            sys.exit(
                f"scores differ from {peer} by {difference:.2e}, rankings {'agree' if same else 'differ'}: nothing "
                f"is compared"
            )
    rows, facts = [], {"largest difference of scores": difference}
    for precision, first_goal in (("fp32", 1.5), ("bf16", 5.0)):
        name, call = f"scoring 1 clip x 64 captions, {precision}", partial(ours, precision)
        for peer, model in peers.items():
            theirs, goal = partial(score, model, precision), SCORING_GOALS[precision]
            rows.append(compare(name, f"{peer}, {precision}", theirs, call, goal, args.rounds, args.clock))
        facts[name] = count_flops(call) / (rows[-1].ours_ms / 1e3) / peaks[precision]
        rows.append(compare(name, PLAIN, plain, call, first_goal, args.rounds, args.clock))
    return rows, facts


@torch.no_grad()
def retrieval_row(pair: Pair, args: argparse.Namespace, peaks: dict[str, float]) -> tuple[list[Row], dict]:
    """128 captions against a video of 4 clips, from an encoded file to scores. Other videos cost as much."""
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

    def read_and_score(model, precision, texts_each):
        for clip in choose(describe_video(data)):  # one open and decode per clip
            frames = decode(clip[None])
            with cast(precision, args.device):
                for start in range(0, texts, texts_each):
                    some = slice(start, start + texts_each)
                    model(frames.float(), ids[:, some], mask[:, some])

    def ours(precision):
        with cast(precision, args.device):
            pair.ours(decode(choose)[None], ids, mask, ids * 0)

    def describe(precision):
        return f"retrieval, a video x {texts} captions, {clips} clips, from its file, {precision}"

    rows, rounds = [], max(1, args.rounds // 3)
    for precision in PRECISIONS:
        for peer, model in list_peers(pair, args).items():
            theirs = partial(read_and_score, model.eval(), precision, RELEASED_TEXTS)
            case, goal, call = f"{peer}, {precision}", SCORING_GOALS[precision], partial(ours, precision)
            rows.append(compare(describe(precision), case, theirs, call, goal, rounds, args.clock))
    plain = partial(read_and_score, pair.plain, "fp32", PLAIN_TEXTS)
    rows.append(compare(describe("bf16"), PLAIN, plain, partial(ours, "bf16"), 5.0, rounds, args.clock))
    frames = decode(choose)[None]
    parts = {"decode": lambda: decode(choose), "CNN": lambda: pair.ours.encode_clips(frames)}
    shares = {}
    for name, call in parts.items():
        with cast("bf16", args.device):
            shares[name] = measure_seconds(call, args.clock) / (rows[-1].ours_ms / 1e3)
    shares["transformer"] = 1 - sum(shares.values())
    return rows, {"shares of retrieval": {name: round(share, 3) for name, share in shares.items()}}


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
