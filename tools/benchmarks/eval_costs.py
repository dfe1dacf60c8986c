"""Unit costs of retrieval, measured at full size, and what they come to on the corpora of the paper.

Read by ``eval``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import ModelConfig, dump_model_config, parse_model_config

#: Corpus -> videos, texts, clips of the test, frames of a clip, word pieces of a text in the mean.
CORPORA = {
    "MSR-VTT 1k x 1k": (1000, 1000, 16, 2, 10),
    "ActivityNet 4.9k x 4.9k": (4917, 4917, 20, 2, 65),
}
#: Published peak of dense half-precision products, FLOP/s, and the share of it that is assumed to be reached.
GPUS = {"V100": 125e12, "H100": 989e12}
UTILISATION = 0.3


def _count_attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


#: torch counts attention on GPUs only.
_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _count_attention}


def time_cpu(call: Callable) -> tuple[Any, float]:
    """Return a call's result and its seconds of this process's CPU time."""
    begin = time.process_time()
    result = call()
    return result, time.process_time() - begin


def measure_units(quick: bool, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return CPU seconds and FLOPs by corpus and unit.

    Units: ``encode`` a clip, ``pair`` (a clip with a text, of which K make a pair), ``concat pair`` (all K
        clips with a text at
    once), ``embed clip`` and ``embed text`` of the first stage. float32.
    """
    torch.manual_seed(0)
    settings = dump_model_config(ModelConfig())
    size = 64 if quick else 448
    if quick:
        settings["transformer"].update(
            hidden_size=48, num_layers=2, num_heads=4, intermediate_size=96, vocab_size=500
        )
    settings["contrastive"] = {"weight": 1.0, "size": 256}
    network = build_network(parse_model_config(settings)).eval()
    units = {}
    for name, (_, _, clips, length, tokens) in CORPORA.items():
        frames = torch.randint(0, 256, (1, 1, length, 3, size, size), dtype=torch.uint8)
        visual = network.encode_clips(frames).expand(1, clips, -1, -1)
        text = torch.randint(5, 400, (1, tokens))
        texts = [text, torch.ones_like(text), torch.zeros_like(text)]

        calls: dict[str, tuple[int, Callable[[], Any]]] = {
            "encode": (1, partial(network.encode_clips, frames)),
            "pair": (clips, partial(_score, network, "fold", visual, texts)),
            "concat pair": (1, partial(_score, network, "concat", visual, texts)),
            "embed clip": (4, partial(network.embed_videos, visual[:, :4])),
            "embed text": (1, partial(network.embed_texts, *texts)),
        }
        units[name] = {unit: _measure(call, count, rounds) for unit, (count, call) in calls.items()}
    return units


def _score(network: Any, fusion: str, visual: torch.Tensor, texts: list[torch.Tensor]) -> torch.Tensor:
    network.clip_fusion = fusion
    return network.score_clips(visual, torch.zeros(1, dtype=torch.int64), *texts)


def _measure(call: Callable, count: int, rounds: int) -> dict[str, float]:
    with FlopCounterMode(display=False, custom_mapping=_ATTENTION) as counter:
        call()
    seconds = min(time_cpu(call)[1] for _ in range(rounds))
    return {"cpu_sec": seconds / count, "flops": counter.get_total_flops() / count}


def estimate(units: dict) -> list[dict]:
    """Return what each way costs on each corpus.

    CPU-hours of one thread, FLOPs, and hours of GPUs by the peak assumed.
    """
    lines = []
    for name, (videos, texts, clips, _, _) in CORPORA.items():
        encode = {"encode": videos * clips}
        embed = {**encode, "embed clip": videos * clips, "embed text": texts}
        ways = {
            "all pairs": {**encode, "pair": videos * texts * clips},
            "all pairs, clips concatenated": {**encode, "concat pair": videos * texts},
            # Both directions choose; at most so many pairs.
            **{f"top {k}": {**embed, "pair": k * (videos + texts) * clips} for k in (10, 100)},
        }
        for way, counts in ways.items():
            total = {
                key: sum(number * units[name][unit][key] for unit, number in counts.items())
                for key in ("cpu_sec", "flops")
            }
            hours = {
                f"{number} x {gpu}": total["flops"] / (peak * UTILISATION * number) / 3600
                for gpu, peak in GPUS.items()
                for number in (1, 8)
            }
            lines.append(
                {
                    "corpus": name,
                    "way": way,
                    "cpu_hours": total["cpu_sec"] / 3600,
                    "flops": total["flops"],
                    "gpu_hours": hours,
                }
            )
    return lines


def format_estimates(units: dict, lines: list[dict]) -> str:
    """Return the unit costs and the estimates as Markdown tables."""
    rows = [
        "| unit | " + " | ".join(f"{name}: CPU s | GFLOP" for name in units) + " |",
        "| --- |" + " --- | --- |" * len(units),
    ]
    for unit in next(iter(units.values())):
        cells = [
            f"{units[name][unit]['cpu_sec']:.4f} | {units[name][unit]['flops'] / 1e9:.2f}" for name in units
        ]
        rows.append(f"| {unit} | " + " | ".join(cells) + " |")
    gpus = list(lines[0]["gpu_hours"])
    rows += [
        "",
        "| corpus | way | PFLOP | hours of one CPU thread | "
        + " | ".join(f"{gpu} (est.)" for gpu in gpus)
        + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(gpus),
    ]
    for line in lines:
        cells = [_format_hours(line["gpu_hours"][gpu]) for gpu in gpus]
        rows.append(
            f"| {line['corpus']} | {line['way']} | {line['flops'] / 1e15:,.1f} | {line['cpu_hours']:,.1f} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(rows)


def _format_hours(hours: float) -> str:
    return (
        f"{hours:.1f} h"
        if hours >= 1
        else f"{60 * hours:.1f} min"
        if hours >= 1 / 60
        else f"{3600 * hours:.1f} s"
    )
