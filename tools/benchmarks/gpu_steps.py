"""GPU measurements of the network alone: peaks, steps, memory, the largest batch, kernels, graphs and compilation."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_finding import Arithmetic, Bench, Finding, make_training_step, time_call
from benchmarks.largest_batch import find_largest_batches
from benchmarks.model import count_flops

#: Memory of the paper's card, a V100, of which NVIDIA sells one of 32 GB.
PAPER_GIB = 32


def measure_peaks(bench: Bench) -> Finding:
    """Multiply two square matrices in each precision."""
    size = 256 if bench.quick else 8192
    rows = []
    for precision in bench.precisions:
        with Arithmetic(precision, bench.device):
            dtype = (
                torch.get_autocast_dtype(bench.device) if torch.is_autocast_enabled(bench.device) else None
            )
            a, b = (torch.randn(size, size, device=bench.device).to(dtype or torch.float32) for _ in range(2))
            seconds, _ = time_call(bench, lambda a=a, b=b: a @ b)
        bench.peaks[precision] = 2 * size**3 / seconds / 1e12
        rows.append([precision, f"{bench.peaks[precision]:.1f}"])
    facts: dict[str, Any] = {"tflops": {name: round(peak, 2) for name, peak in bench.peaks.items()}}
    if bench.has_card:
        numbers = torch.zeros(2**30, dtype=torch.uint8, device=bench.device)
        target = torch.empty_like(numbers)
        seconds, _ = time_call(bench, lambda: target.copy_(numbers))
        facts["copy_tb_per_sec"] = round(2 * 2**30 / seconds / 1e12, 2)
    return Finding(
        f"{rows[0][0]} {rows[0][1]} TFLOP/s", ["precision", "matrix product, TFLOP/s"], rows, facts
    )


def measure_steps(bench: Bench) -> Finding:
    """Train on MSR-VTT's batch of one card (16 videos x 4 clips x 2 texts), and score a clip against 64 texts."""
    videos, clips, texts = (2, 1, 4) if bench.quick else (16, 4, 64)
    rows: list[list[Any]] = []
    facts: dict[str, Any] = {}
    pair = bench.pair
    frames, (ids, mask) = pair.make_frames(videos, clips, 1), pair.make_texts(videos, 2)
    flops = 0
    for precision in bench.precisions:
        network = copy.deepcopy(bench.network)
        step = make_training_step(network, (frames, ids, mask, ids * 0), precision, bench.device)
        flops = flops or count_flops(step)
        seconds, mib = time_call(bench, step)
        rows.append(
            [f"training step, {videos} videos x {clips} clips x 2 texts", precision, f"{1e3 * seconds:.1f}"]
        )
        rows[-1] += [
            f"{videos * clips / seconds:.0f}",
            *bench.find_share(flops, seconds, precision),
            f"{mib:.0f}",
        ]
        facts[f"training_step_sec_{precision}"] = seconds
        del network, step
    facts["training_step"] = {"videos": videos, "clips": clips, "frames": 1, "texts": 2, "flops": flops}
    network = bench.network.eval()
    frames, (ids, mask) = pair.make_frames(1, 1, 1), pair.make_texts(1, texts)
    flops = 0

    @torch.no_grad()
    def score(precision: str) -> None:
        with Arithmetic(precision, bench.device):
            network(frames, ids, mask, ids * 0)

    for precision in bench.precisions:
        flops = flops or count_flops(lambda: score("fp32"))
        seconds, mib = time_call(bench, lambda precision=precision: score(precision))
        rows.append(
            [f"scoring, 1 clip x {texts} texts", precision, f"{1e3 * seconds:.2f}", f"{texts / seconds:.0f}"]
        )
        rows[-1] += [*bench.find_share(flops, seconds, precision), f"{mib:.0f}"]
        facts[f"scoring_sec_{precision}"] = seconds
    first = rows[0]
    columns = ["case", "precision", "ms", "clips or pairs/s", "share of measured peak", "of datasheet", "MiB"]
    return Finding(
        f"{first[2]} ms a step of {videos} x {clips} clips in {first[1]}, {first[4]} of peak",
        columns,
        rows,
        facts,
    )


def measure_checkpointing(bench: Bench) -> Finding:
    """Train with and without activation checkpointing, in bf16, with frames in chunks of several sizes."""
    clips = 2 if bench.quick else 64
    frames, (ids, mask) = bench.pair.make_frames(1, clips, 1), bench.pair.make_texts(1, 2)
    rows = []
    for chunk in (None, 2, 16, 64):
        network = bench.make_network(activation_checkpointing=chunk is not None)
        if chunk is not None:
            backbone: Any = network.backbone
            backbone.frames_per_chunk = chunk
        step = make_training_step(network, (frames, ids, mask, ids * 0), "bf16", bench.device)
        seconds, mib = time_call(bench, step)
        name = "off" if chunk is None else f"on, backbone.frames_per_chunk={chunk}"
        rows.append([name, f"{1e3 * seconds:.1f}", f"{mib:.0f}"])
        del network, step
    return Finding(
        f"{rows[0][2]} to {rows[1][2]} MiB, {rows[0][1]} to {rows[1][1]} ms",
        ["activation checkpointing", f"ms a step of {clips} clips x 2 texts, bf16", "MiB"],
        rows,
    )


def find_batches(bench: Bench) -> Finding:
    """Find the largest batch of figure 5, within the card's memory and within that of the paper's card."""
    if not bench.has_card:
        return Finding("needs a card")
    total = torch.cuda.get_device_properties(0).total_memory / 2**30
    network = copy.deepcopy(bench.network)
    found = {
        limit: find_largest_batches(
            network,
            bench.size,
            torch.float16,
            bench.device,
            limit_gib=limit,
            only_given=limit is None and total > PAPER_GIB,
        )
        for limit in (PAPER_GIB, None)
        if limit is None or limit < total
    }
    (some, *_) = found.values()
    heads = [f"{limit} GiB" if limit else f"whole card, {total:.0f} GiB" for limit in found]
    rows = [
        [
            case,
            *(batches[case]["ours"] if case in batches else "-" for batches in found.values()),
            some[case]["paper, V100"] or "-",
        ]
        for case in some
    ]
    first = next(iter(some))
    return Finding(
        f"{some[first]['ours']} at {first} within {heads[0]} (paper 190)",
        ["case, fp16", *heads, "paper, V100"],
        rows,
        {"batches": dict(zip(heads, found.values(), strict=True))},
    )


def profile_step(bench: Bench) -> Finding:
    """Profile training steps in bf16: the kernels that take longest, as a table and a picture."""
    videos, clips = (1, 1) if bench.quick else (16, 4)
    frames, (ids, mask) = bench.pair.make_frames(videos, clips, 1), bench.pair.make_texts(videos, 2)
    network = copy.deepcopy(bench.network)
    step = make_training_step(network, (frames, ids, mask, ids * 0), "bf16", bench.device)
    step_sec, _ = time_call(bench, step, rounds=1)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if bench.has_card else []
    steps = 1 if bench.quick else 3
    with torch.profiler.profile(activities=kinds) as profile:
        for _ in range(steps):
            step()
        if bench.has_card:
            torch.cuda.synchronize()
    events = _list_kernels(profile, bench.has_card)
    total = sum(seconds for _, _, seconds in events)
    rows = [
        [name[:90], round(count / steps), f"{1e3 * seconds / steps:.2f}", f"{seconds / total:.1%}"]
        for name, count, seconds in events[:15]
    ]
    busy = total / steps / step_sec
    picture = _draw_bars(bench.stem.with_name(bench.stem.name + "-profile.png"), rows)
    return Finding(
        f"{rows[0][3]} in {rows[0][0][:40]}; device busy {min(1.0, busy):.0%}",
        ["kernel", "calls a step", "ms a step", "share"],
        rows,
        {
            "device_busy": round(busy, 3),
            "kernels": len(events),
            "launches": round(sum(e[1] for e in events) / steps),
        },
        [picture.name] if picture else [],
    )


def _list_kernels(profile: Any, has_card: bool) -> list[tuple[str, int, float]]:
    """Return name, calls and seconds of each kernel, the longest first; of each operator on a CPU."""
    found: list[tuple[str, int, float]] = []
    for event in profile.key_averages():
        is_kernel = str(getattr(event, "device_type", "")).endswith("CUDA")
        if getattr(
            event, "is_user_annotation", False
        ):  # a range such as the optimizer's step, kernels and all
            continue
        micros = getattr(event, "self_device_time_total", 0.0) if has_card else event.self_cpu_time_total
        if is_kernel == has_card and micros:
            found.append((event.key, event.count, micros / 1e6))
    return sorted(found, key=lambda entry: -entry[2])


def _draw_bars(path: Path, rows: list[list[Any]]) -> Path | None:
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(11, 5))
    axes.barh([str(row[0])[:70] for row in rows][::-1], [float(row[2]) for row in rows][::-1])
    axes.set_xlabel("ms of a training step, bf16")
    axes.tick_params(axis="y", labelsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


@torch.no_grad()
def replay_graphs(bench: Bench) -> Finding:
    """Compare eager inference with a replayed CUDA graph, for one text and for 64, in bf16."""
    if not bench.has_card:
        return Finding("needs a card")
    rows = []
    network = bench.network.eval()
    for texts in (1, 64):
        frames, (ids, mask) = bench.pair.make_frames(1, 1, 1), bench.pair.make_texts(1, texts)
        infer = _make_inference(network, frames, ids, mask)
        infer()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            infer()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = infer()
        graph.replay()
        difference = float((captured - infer()).abs().max())
        eager, _ = time_call(bench, infer)
        replayed, _ = time_call(bench, graph.replay)
        rows.append([f"1 clip x {texts} texts", f"{1e3 * eager:.2f}", f"{1e3 * replayed:.2f}"])
        rows[-1] += [f"{eager / replayed:.2f}x", f"{difference:.1e}"]
    columns = ["case, bf16", "eager, ms", "graph, ms", "ratio", "largest difference of scores"]
    return Finding(f"{rows[0][3]} for one text, {rows[1][3]} for 64", columns, rows)


def _make_inference(
    network: Any, frames: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
) -> Callable[[], Any]:
    texts = ids.shape[1]

    def infer() -> torch.Tensor:
        # Without autocast's cache of casts, which a graph may not refer to.
        with torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False):
            visual = network.encode_clips(frames)[:, 0].expand(texts, -1, -1)
            _, pooled = network.encoder(network.text_embedding(ids[0], ids[0] * 0), mask[0], visual)
        return network.head(pooled.float())

    return infer


def compile_step(bench: Bench) -> Finding:
    """Compare a training step with one whose backbone and transformer ``torch.compile`` has compiled, in bf16."""
    if not bench.has_card:
        return Finding("needs a card")
    frames, (ids, mask) = bench.pair.make_frames(16, 4, 1), bench.pair.make_texts(16, 2)
    batch = (frames, ids, mask, ids * 0)
    network = copy.deepcopy(bench.network)
    eager, _ = time_call(bench, make_training_step(network, batch, "bf16", bench.device))
    network.backbone.compile()
    for layer in network.encoder.layers:
        layer.compile()
    step = make_training_step(network, batch, "bf16", bench.device)
    begin = time.monotonic()
    step()
    torch.cuda.synchronize()
    first = time.monotonic() - begin
    compiled, mib = time_call(bench, step)
    row = [
        f"{1e3 * eager:.1f}",
        f"{1e3 * compiled:.1f}",
        f"{eager / compiled:.2f}x",
        f"{first:.0f}",
        f"{mib:.0f}",
    ]
    return Finding(
        f"{row[2]}, first call {row[3]} s",
        ["eager step, ms", "compiled, ms", "ratio", "first call, s", "MiB"],
        [row],
    )
