"""How fast the full-size model trains and scores, against the plain build a user would write from libraries.

One thread, random weights, the same in both; peer and ours in turn within one run. In float32 the scores must be equal
within 1e-4 and the rankings identical, or the program ends. The limit beside each number is the share of this machine's
matrix-product peak, measured here for each precision.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.media import make_video
from benchmarks.plain_build import PlainClipBert
from benchmarks.table import Row, compare, format_rows, write_json
from torch.utils.flop_counter import FlopCounterMode

from clipbert_mmf.inference.settings import read_model_settings
from clipbert_mmf.models.assembly import assemble_network
from clipbert_mmf.transforms.frames import pad_channels_last
from clipbert_mmf.video.decode import describe_video, read_frames
from clipbert_mmf.video.sampling import sample_clips

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}
#: Lengths of 64 captions: MSR-VTT's have 10 tokens in the mean; the limit is 20.
TEXT_LIMIT, MEAN_TOKENS = 20, 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``benchmark.py model``."""
    parser.add_argument("--cache", type=Path, default=Path("save/benchmark_media"), help="folder of generated files")
    parser.add_argument("--output", type=Path, default=Path("save/benchmark_model.json"), help="JSON to write")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds per case; the median counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a small network and few rounds: checks that it runs")


def load_settings(quick: bool) -> dict:
    """Return the paper's model, or a small one of the same parts."""
    settings = read_model_settings()
    if quick:
        settings["transformer"].update(hidden_size=48, num_layers=2, num_heads=4, intermediate_size=96, vocab_size=500)
    return settings


class Pair:
    """Our network and the plain build with the same weights, and batches for both."""

    def __init__(self, quick: bool):
        torch.manual_seed(0)
        settings = load_settings(quick)
        sizes = settings["transformer"]
        self.ours = assemble_network(settings)
        for module in self.ours.modules():  # random running statistics, as trained norms have them
            if hasattr(module, "running_var"):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.8, 1.2)
        self.plain = PlainClipBert(
            self.ours, *(sizes[key] for key in ("hidden_size", "num_layers", "num_heads", "intermediate_size")),
            settings["backbone"]["depth"], sizes["dropout"],
        )
        self.size, self.vocab_size = 64 if quick else 448, sizes["vocab_size"]

    def make_frames(self, batch: int, clips: int = 1, length: int = 2) -> torch.Tensor:
        """Return ``(B, K, T, 3, L, L)`` uint8."""
        return torch.randint(0, 256, (batch, clips, length, 3, self.size, self.size), dtype=torch.uint8)

    def make_texts(self, batch: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and mask ``(B, N, TEXT_LIMIT)`` with lengths as captions have them."""
        rng = np.random.default_rng(0)
        lengths = np.clip(rng.normal(MEAN_TOKENS, 3, (batch, count)).round(), 4, TEXT_LIMIT).astype(int)
        mask = (torch.arange(TEXT_LIMIT) < torch.from_numpy(lengths)[..., None]).long()
        return torch.randint(5, self.vocab_size, mask.shape) * mask, mask


def cast(precision: str):
    """Return the autocast context of a precision."""
    dtype = PRECISIONS[precision]
    return torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def measure_peak(dtype: torch.dtype, quick: bool) -> float:
    """Return the matrix-product peak of this machine and thread count in FLOP/s."""
    size = 256 if quick else 1536
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(6):
        begin = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def count_flops(call) -> int:
    """Return the floating-point operations of one call, products only."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def training_rows(pair: Pair, rounds: int, peaks: dict[str, float]) -> tuple[list[Row], dict]:
    """One update of 2 videos x 2 texts, one clip: forward, backward, AdamW."""
    frames, (ids, mask) = pair.make_frames(2), pair.make_texts(2, 2)
    targets = torch.tensor([1, 0, 1, 0])

    def make_step(model, forward, fused, precision):
        model.train()
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=fused)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with cast(precision):
                scores = forward(model)
            F.cross_entropy(scores.float(), targets).backward()
            torch.nn.utils.clip_grad_norm_(trained, 5.0)
            optimizer.step()

        return step

    plain = make_step(pair.plain, lambda m: m(frames[:, 0].float(), ids, mask), False, "fp32")
    rows, facts = [], {}
    for precision, goal in (("fp32", 1.5), ("bf16", 2.7)):
        ours = make_step(pair.ours, lambda m: m(frames, ids, mask, ids * 0)["scores"], True, precision)
        name = f"training step, 2 videos x 2 texts, {precision}"
        rows.append(compare(name, "plain build, fp32", plain, ours, goal, rounds))
        facts[name] = count_flops(ours) / (rows[-1].ours_ms / 1e3) / peaks[precision]
    return rows, facts


@torch.no_grad()
def scoring_rows(pair: Pair, rounds: int, peaks: dict[str, float]) -> tuple[list[Row], dict]:
    """One clip of one video against 64 captions; equality is checked."""
    pair.ours.eval(), pair.plain.eval()
    frames, (ids, mask) = pair.make_frames(1), pair.make_texts(1, 64)

    def plain():
        # Eight texts at a time, as a released evaluation batch; pixels are encoded for each.
        return torch.cat([pair.plain(frames[:, 0].float(), ids[:, i : i + 8], mask[:, i : i + 8]) for i in range(0, 64, 8)])

    def ours(precision):
        with cast(precision):
            return pair.ours(frames, ids, mask, ids * 0)["scores"]

    expected, found = plain(), ours("fp32")
    difference = float((expected - found).abs().max())
    same = torch.equal((expected[:, 1] - expected[:, 0]).argsort(), (found[:, 1] - found[:, 0]).argsort())
    if difference > 1e-4 or not same:
        sys.exit(f"scores differ by {difference:.2e}, rankings {'agree' if same else 'differ'}: nothing is compared")
    rows, facts = [], {"largest difference of scores": difference}
    for precision, goal in (("fp32", 1.5), ("bf16", 5.0)):
        name = f"scoring 1 clip x 64 captions, {precision}"
        rows.append(compare(name, "plain build, fp32", plain, lambda p=precision: ours(p), goal, rounds))
        facts[name] = count_flops(lambda p=precision: ours(p)) / (rows[-1].ours_ms / 1e3) / peaks[precision]
    return rows, facts


@torch.no_grad()
def retrieval_row(pair: Pair, cache: Path, rounds: int, quick: bool) -> tuple[list[Row], dict]:
    """128 captions against a video of 4 clips, from an encoded file to scores, in bf16; other videos cost the same again."""
    texts, clips = (16, 2) if quick else (128, 4)
    path = make_video(cache / f"{2 if quick else 12}s_320x240_gop250.mp4", 2 if quick else 12, 320, 240, 250)
    data, (ids, mask) = path.read_bytes(), pair.make_texts(1, texts)
    pair.ours.eval(), pair.plain.eval()

    def decode(times):
        return read_frames(data, times, transform=lambda frame: pad_channels_last(frame, image_size=pair.size))

    def choose(info):
        return sample_clips("uniform", info.duration_sec, clips, 2, 1.0)

    def plain():
        for clip in choose(describe_video(data)):  # one open and decode per clip
            frames = decode(clip[None])
            for start in range(0, texts, 8):
                pair.plain(frames.float(), ids[:, start : start + 8], mask[:, start : start + 8])

    def ours():
        with cast("bf16"):
            pair.ours(decode(choose)[None], ids, mask, ids * 0)

    row = compare(
        f"retrieval, a video x {texts} captions, {clips} clips, from its file, bf16", "plain build, fp32", plain, ours,
        5.0, max(1, rounds // 3),
    )
    frames = decode(choose)[None]
    parts = {"decode": lambda: decode(choose), "CNN": lambda: pair.ours.encode_clips(frames)}
    shares = {}
    for name, call in parts.items():
        begin = time.perf_counter()
        with cast("bf16"):
            call()
        shares[name] = (time.perf_counter() - begin) / (row.ours_ms / 1e3)
    shares["transformer"] = 1 - sum(shares.values())
    return [row], {"shares of retrieval": {name: round(share, 3) for name, share in shares.items()}}


def memory_row(quick: bool, threads: int) -> tuple[list[Row], dict]:
    """Peak memory of a training step of 8 clips with and without activation checkpointing, each in its own process."""
    found = {}
    for recompute in (False, True):
        command = [sys.executable, __file__, str(int(recompute)), str(int(quick)), str(threads)]
        paths = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": paths})
        found[recompute] = json.loads(done.stdout.splitlines()[-1])
    kept, saved = (found[recompute]["peak_mib"] for recompute in (False, True))
    row = Row("peak memory of a training step, 8 clips, fp32", "without activation checkpointing", round(kept),
              round(saved), round(kept / saved, 2), 2.0, "MiB")
    return [row], {"seconds with activation checkpointing over without": found[True]["sec"] / found[False]["sec"]}


def train_in_process(recompute: bool, quick: bool) -> dict[str, float]:
    """Run two steps; return seconds of the second and what the steps added to the process's peak memory."""
    torch.manual_seed(0)
    settings = {**load_settings(quick), "activation_checkpointing": recompute}
    network = assemble_network(settings).train()
    size, vocab_size = 64 if quick else 448, settings["transformer"]["vocab_size"]
    frames = torch.randint(0, 256, (1, 8, 2, 3, size, size), dtype=torch.uint8)
    ids = torch.randint(5, vocab_size, (1, 2, 12))
    # Linux: the peak is set back to what is held now, for a new process starts with its parent's.
    Path("/proc/self/clear_refs").write_text("5")
    before = _read_peak_mib()
    for _ in range(2):
        begin = time.perf_counter()
        scores = network(frames, ids, ids * 0 + 1, ids * 0)["scores"]
        F.cross_entropy(scores, torch.tensor([1, 0])).backward()
        seconds = time.perf_counter() - begin
    return {"sec": seconds, "peak_mib": _read_peak_mib() - before}


def _read_peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def run(args: argparse.Namespace) -> list[Row]:
    """Measure, print the table, write the JSON."""
    torch.set_num_threads(args.threads)
    args.cache.mkdir(parents=True, exist_ok=True)
    rounds = 1 if args.quick else args.rounds
    peaks = {name: measure_peak(dtype or torch.float32, args.quick) for name, dtype in PRECISIONS.items()}
    pair = Pair(args.quick)
    rows, facts = [], {"peak_gflops": {name: round(peak / 1e9, 1) for name, peak in peaks.items()}}
    for part in (
        scoring_rows(pair, rounds, peaks), retrieval_row(pair, args.cache, rounds, args.quick),
        training_rows(pair, rounds, peaks), memory_row(args.quick, args.threads),
    ):
        rows += part[0]
        facts.update({key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in part[1].items()})
    print(format_rows(rows))
    for key, value in facts.items():
        print(f"{key}: {value}" + (" of the peak" if isinstance(value, float) and key in {row.case for row in rows} else ""))
    write_json(args.output, "model", rows, rounds=rounds, threads=args.threads, torch=torch.__version__, facts=facts)
    return rows


if __name__ == "__main__":  # a process of memory_row
    torch.set_num_threads(int(sys.argv[3]))
    print(json.dumps(train_in_process(sys.argv[1] == "1", sys.argv[2] == "1")))
