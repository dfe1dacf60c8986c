"""Measures whether the saliency map points at the thing: ``python tools/pointing_game.py RUN_DIR``.

The demo corpus shows one coloured thing at a time on soft grey, so pixels tell where the thing is. A map hits
if its maximum lies in the thing's box; a map without a positive value counts as a random one. Beside the
hits: a random place, and the middle of the frame. Texts are the captions of the test set, or one question for
    each video with its correct answer.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from clipbert_mmf.annotations.reading import iterate_table
from clipbert_mmf.inference.evidence import describe_evidence
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.saliency import SALIENCY_METHODS
from clipbert_mmf.report.pictures import crop_padding

#: Things that fill more of a frame than this cannot be missed.
MAX_SHARE = 0.6


def find_box(frame: Tensor) -> tuple[int, int, int, int] | None:
    """Return top, bottom, left and right (ends exclusive) of the thing in a frame ``(3, H, W)``, or None."""
    pixels = frame.float()
    grey = pixels.mean(0)
    is_thing = (pixels.amax(0) - pixels.amin(0) > 60) | (grey < 60) | (grey > 200)
    rows, columns = is_thing.any(1).nonzero(), is_thing.any(0).nonzero()
    if is_thing.sum() < 8:
        return None
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def points_at(saliency: Tensor, box: tuple[int, int, int, int]) -> float:
    """Return 1 if the maximum of ``(H, W)`` lies in a box, 0 if not, the share of the box if no value is positive."""
    top, bottom, left, right = box
    if float(saliency.max()) <= 0:
        return (bottom - top) * (right - left) / saliency.numel()
    row, column = divmod(int(saliency.argmax()), saliency.shape[1])
    return float(top <= row < bottom and left <= column < right)


def read_texts(data: Path, asks: tuple[str, ...], limit: int) -> list[tuple[str, str, str | None]]:
    """Return video, text and answer of test videos, one of each."""
    if "answer" in asks:
        questions = json.loads((data / "test_qa.json").read_text(encoding="utf-8"))
        first = {entry["video_id"]: entry for entry in reversed(questions)}
        return [(f"video{key}", entry["question"], entry["answer"]) for key, entry in sorted(first.items())][
            :limit
        ]
    rows = iterate_table(data / "MSRVTT_JSFUSION_test.csv")
    texts: list[tuple[str, str, str | None]] = [(row["video_id"], row["sentence"], None) for _, row in rows]
    return texts[:limit]


def play(model: ClipBert, data: Path, texts: list[tuple[str, str, str | None]]) -> dict[str, float]:
    """Return hits by method, ``random``, ``middle``, ``frames``, and seconds a video by ``seconds of METHOD``."""
    totals = dict.fromkeys(
        (
            *SALIENCY_METHODS,
            "random",
            "middle",
            "frames",
            *(f"seconds of {name}" for name in SALIENCY_METHODS),
        ),
        0.0,
    )
    for key, text, answer in tqdm(texts, desc="videos"):
        clips = model.read_clips(next(path for path in (data / "videos").glob(f"{key}.*")))
        height, width = crop_padding(clips.frames.flatten(0, 1).amax(0))
        maps = {}
        for name in SALIENCY_METHODS:
            begin = time.perf_counter()
            saliency = describe_evidence(
                model, clips, text, answer if answer in model.answers else None, name
            ).saliency
            totals[f"seconds of {name}"] += (time.perf_counter() - begin) / len(texts)
            maps[name] = F.interpolate(
                saliency.flatten(0, 1)[:, None], clips.frames.shape[-2:], mode="bilinear"
            )[:, 0]
        for number, frame in enumerate(clips.frames.flatten(0, 1)[..., :height, :width]):
            box = find_box(frame)
            if box is None or (box[1] - box[0]) * (box[3] - box[2]) > MAX_SHARE * height * width:
                continue
            for name, saliency in maps.items():
                totals[name] += points_at(saliency[number, :height, :width], box)
            totals["random"] += points_at(torch.zeros(height, width), box)
            totals["middle"] += box[0] <= height // 2 < box[1] and box[2] <= width // 2 < box[3]
            totals["frames"] += 1
    for name in (*SALIENCY_METHODS, "random", "middle"):
        totals[name] /= max(1.0, totals["frames"])
    return totals


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, play and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run_dir", help="folder of a run on the demo corpus: msrvtt_retrieval or msrvtt_qa")
    parser.add_argument(
        "--data", type=Path, default=Path("data/demo/msrvtt"), help="the demo corpus's MSR-VTT"
    )
    parser.add_argument("--videos", type=int, default=50, help="how many (default: 50)")
    options = parser.parse_args(arguments)
    model = ClipBert.from_pretrained(options.run_dir)
    totals = play(model, options.data, read_texts(options.data, model.asks, options.videos))
    print(f"{totals['frames']:.0f} frames; hits, seconds for each video")
    for name in (*SALIENCY_METHODS, "random", "middle"):
        seconds = f"{totals[f'seconds of {name}']:8.3f}" if name in SALIENCY_METHODS else ""
        print(f"{name:12}{totals[name]:7.1%}{seconds}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
