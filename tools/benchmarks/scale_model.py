"""Measure how a training step and an evaluation grow with batch, clips, frames, frame size, videos and texts."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.curves import Curve
from benchmarks.memory import read_peak_mib, reset_peak
from benchmarks.networks import load_settings
from benchmarks.table import measure_seconds
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from clipbert_mmf.models.network import ClipBertNetwork

TEXT_TOKENS = 12
#: One video, one clip, one frame, of half the paper's frame size: the full-size network, in minutes.
START = {"batch": 1, "N_train": 1, "T": 1, "L": 224}
GROWTH = {"batch": (1, 2, 4, 8), "N_train": (1, 2, 4, 8), "T": (1, 2, 4, 8), "L": (224, 320, 448, 640)}
QUICK_START = {"batch": 1, "N_train": 1, "T": 1, "L": 64}
QUICK_GROWTH = {"batch": (1, 2), "L": (64, 96)}


def training_curves(folder: Path, quick: bool, clock: str) -> list[Curve]:
    """Grow one size of a training step at a time: 2 texts a video, forward, backward and AdamW in float32."""
    torch.manual_seed(0)
    network = build_network(parse_model_config(load_settings(quick))).train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)
    start, growth = (QUICK_START, QUICK_GROWTH) if quick else (START, GROWTH)
    _train(network, optimizer, start, clock)  # the optimizer's state, and libraries' first call
    measured: dict[tuple, dict[str, float]] = {}
    curves = []
    for name, sizes in growth.items():
        curve = Curve(name, name, "training")
        for size in sizes:
            at = {**start, name: size}
            if tuple(at.values()) not in measured:
                measured[tuple(at.values())] = _train(network, optimizer, at, clock)
            curve.points[size] = measured[tuple(at.values())]
        curves.append(curve)
    return curves


def _train(
    network: ClipBertNetwork, optimizer: torch.optim.Optimizer, at: dict[str, int], clock: str
) -> dict[str, float]:
    frames = torch.randint(
        0, 256, (at["batch"], at["N_train"], at["T"], 3, at["L"], at["L"]), dtype=torch.uint8
    )
    ids = torch.randint(5, network.text_embedding.words.num_embeddings, (at["batch"], 2, TEXT_TOKENS))
    targets = torch.arange(2 * at["batch"]) % 2

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(network(frames, ids, ids * 0 + 1, ids * 0)["scores"], targets).backward()
        optimizer.step()

    optimizer.zero_grad(set_to_none=True)
    reset_peak()
    before = read_peak_mib()
    seconds = min(measure_seconds(step, clock) for _ in range(2))
    return {"seconds a step": seconds, "MiB a step adds": read_peak_mib() - before}


@torch.inference_mode()
def evaluation_curves(folder: Path, quick: bool, clock: str) -> list[Curve]:
    """Grow videos and texts of a retrieval test in bf16.

    Each video is encoded once and scored against all texts.
    """
    torch.manual_seed(0)
    network = build_network(parse_model_config(load_settings(quick))).eval()
    size, base, sizes = (64, 4, (1, 2)) if quick else (224, 32, (1, 2, 4, 8))
    _evaluate(network, 1, 4, size, clock)
    by_videos, by_texts = Curve("videos", "videos", "evaluation"), Curve("texts", "texts", "evaluation")
    for times in sizes:
        by_videos.points[times] = _evaluate(network, times, base, size, clock)
        by_texts.points[base * times] = _evaluate(network, 1, base * times, size, clock)
    return [by_videos, by_texts]


def _evaluate(
    network: ClipBertNetwork, videos: int, texts: int, image_size: int, clock: str
) -> dict[str, float]:
    frames = torch.randint(0, 256, (1, 4, 2, 3, image_size, image_size), dtype=torch.uint8)
    ids = torch.randint(5, network.text_embedding.words.num_embeddings, (1, texts, TEXT_TOKENS))

    def evaluate():
        for _ in range(videos):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                network(frames, ids, ids * 0 + 1, ids * 0)

    reset_peak()
    before = read_peak_mib()
    seconds = measure_seconds(evaluate, clock)
    return {"seconds": seconds, "MiB it adds": read_peak_mib() - before}
