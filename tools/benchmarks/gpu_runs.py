"""GPU measurements that read files or start programs: ``mmf_run``, retrieval from a video, ``benchmark.py model``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_finding import Arithmetic, Bench, Finding, time_call
from benchmarks.media import make_video
from benchmarks.table import measure_seconds
from clipbert_mmf.cli.mmf_process import make_offline_environment, run_mmf
from clipbert_mmf.transforms.frames import pad_channels_last
from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.sampling import sample_clips

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"


def _make_videos(bench: Bench) -> list[Path]:
    """Return two videos as MSR-VTT has them, 320 x 240 pixels, with key frames often and seldom."""
    seconds = 1 if bench.quick else 14
    folder = bench.work / "media"
    folder.mkdir(parents=True, exist_ok=True)
    return [make_video(folder / f"{seconds}s_gop{gop}.mp4", seconds, 320, 240, gop) for gop in (12, 250)]


@torch.no_grad()
def measure_retrieval(bench: Bench) -> Finding:
    """Read 16 clips of a video from its file, encode them, and score texts in chunks of several sizes, in bf16."""
    clips, texts = (2, 8) if bench.quick else (16, 256)
    path = _make_videos(bench)[1]
    data = path.read_bytes()

    def decode() -> torch.Tensor:
        return read_frames(
            data,
            lambda info: sample_clips("uniform", info.duration_sec, clips, 1, 1.0, start_sec=info.start_sec),
            transform=lambda frame: pad_channels_last(frame, image_size=bench.size),
        )

    frames = decode()
    decoding = min(measure_seconds(decode) for _ in range(1 if bench.quick else 3))
    network = bench.network.eval()
    moved = frames[None].to(bench.device)
    ids, mask = (x[0] for x in bench.pair.make_texts(1, texts))
    videos = torch.zeros(texts, dtype=torch.int64, device=bench.device)
    before = network.pairs_per_chunk
    with Arithmetic("bf16", bench.device):
        encoding, _ = time_call(bench, lambda: network.encode_clips(moved))
        visual = network.encode_clips(moved)
    rows, best = [], None
    try:
        for chunk in (64, 128) if bench.quick else (64, 256, 1024, 4096):
            network.pairs_per_chunk = chunk

            def score() -> None:
                with Arithmetic("bf16", bench.device):
                    network.score_clips(visual, videos, ids, mask, ids * 0)

            seconds, mib = time_call(bench, score)
            per_pair = seconds / texts
            hours = 1000 * (decoding + encoding + 1000 * per_pair) / 3600
            rows.append(
                [
                    chunk,
                    f"{1e6 * per_pair:.1f}",
                    f"{texts * clips / seconds:.0f}",
                    f"{mib:.0f}",
                    f"{hours:.2f}",
                ]
            )
            best = min(best or hours, hours)
    finally:
        network.pairs_per_chunk = before
    columns = [
        "pairs_per_chunk",
        f"us a pair of {clips} clips",
        "clip x text pairs/s",
        "MiB",
        "1k x 1k test, h",
    ]
    facts = {
        "clips": clips,
        "decode_sec_per_video": decoding,
        "encode_sec_per_video": encoding,
        "score_sec_per_pair": {row[0]: float(row[1]) / 1e6 for row in rows},
    }
    return Finding(
        f"1k x 1k test {best:.2f} h (decode {1e3 * decoding:.0f} ms on one core, CNN {1e3 * encoding:.1f} ms a video)",
        columns,
        rows,
        facts,
    )


#: Name of a run -> its options: how the data reach the card.
FEEDS = {
    "as configured (4 workers)": ["training.num_workers=4"],
    "14 workers, pinned": ["training.num_workers=14", "training.pin_memory=true"],
}


def measure_data_wait(bench: Bench) -> Finding:
    """Train the recipe of MSR-VTT retrieval through ``mmf_run`` on videos of real length: the share of waiting."""
    corpus = _make_corpus(bench)
    recipe, updates, shape = ("demo", 2, []) if bench.quick else ("defaults", 30, ["training.batch_size=16"])
    rows = []
    for number, (name, feed) in enumerate(list(FEEDS.items())[: 1 if bench.quick else None]):
        folder = bench.work / f"run{number}"
        section = "dataset_config.msrvtt_retrieval"
        options = [
            f"config=projects/clipbert/configs/msrvtt_retrieval/{recipe}.yaml",
            "model=clipbert",
            "dataset=msrvtt_retrieval",
            "run_type=train",
            f"{section}.data_dir={corpus / 'msrvtt'}",
            f"{section}.processors.text_processor.params.tokenizer={corpus / 'tokenizer'}",
            f"env.save_dir={folder}",
            f"training.device={bench.device}",
            f"training.max_updates={updates}",
            "training.max_epochs=null",
            "training.log_interval=10",
            "training.evaluation_interval=0",
            "training.checkpoint_interval=0",
            *shape,
            *(["training.num_workers=0"] if bench.quick else feed),
        ]
        environment = make_offline_environment(ROOT)
        cost = run_mmf(options, bench.work / f"run{number}.log", environment)
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        last = [record for record in records if record["split"] == "train"][-1]
        memory = last.get("max_memory_mib", "-")
        rows.append(
            [
                name,
                f"{last['updates_per_sec']:.2f}",
                f"{last['data_wait']:.2f}",
                memory,
                f"{cost.seconds:.0f}",
            ]
        )
        shutil.rmtree(folder, ignore_errors=True)
    columns = [
        "16 videos x 4 clips an update, bf16",
        "updates/s",
        "share of waiting for data",
        "peak MiB",
        "whole run, s",
    ]
    return Finding(
        f"waits {rows[-1][2]} of the time at {rows[-1][1]} updates/s ({rows[-1][0]})", columns, rows
    )


def _make_corpus(bench: Bench) -> Path:
    """Write the demo corpus, and put videos of real length in the place of its own."""
    corpus = bench.work / "corpus"
    sizes = ["--num-train", "10" if bench.quick else "96", "--num-test", "4", "--num-images", "10"]
    program = [
        sys.executable,
        str(TOOLS / "make_demo_corpus.py"),
        "--out",
        str(corpus),
        "--corpora",
        "msrvtt",
    ]
    environment = make_offline_environment(ROOT)
    subprocess.run([*program, *sizes], check=True, capture_output=True, timeout=120, env=environment)
    originals = _make_videos(bench)
    for number, video in enumerate(sorted((corpus / "msrvtt" / "videos").glob("*.mp4"))):
        shutil.copyfile(originals[number % 2], video)
    return corpus


def compare_with_peers(bench: Bench) -> Finding:
    """Run ``benchmark.py model`` on the device: its rows against the peers it has."""
    output = bench.work / "model.json"
    command = [
        sys.executable,
        str(TOOLS / "benchmark.py"),
        "model",
        "--device",
        bench.device,
        "--rounds",
        "3",
    ]
    command += [
        "--cache",
        str(bench.work / "media"),
        "--output",
        str(output),
        "--parts",
        "scoring",
        "training",
    ]
    # The scores of both are compared in fp32, which TF32 would round.
    environment = {**make_offline_environment(ROOT), "NVIDIA_TF32_OVERRIDE": "0"}
    done = subprocess.run(
        [*command, *(["--quick"] if bench.quick else [])],
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": os.pathsep.join([environment["PYTHONPATH"], str(TOOLS)])},
        timeout=150,
    )
    if done.returncode:
        raise RuntimeError(
            f"benchmark.py model ended with {done.returncode}: {(done.stderr or done.stdout)[-1500:]}"
        )
    content: dict[str, Any] = json.loads(output.read_text())
    rows = [
        [row["case"], row["peer"], f"{row['peer_ms']:.1f}", f"{row['ours_ms']:.1f}", f"{row['ratio']:.2f}x"]
        for row in content["rows"]
    ]
    return Finding(
        ", ".join(f"{row[4]} {row[0].partition(',')[0]}" for row in rows[:2]),
        ["case", "peer", "peer, ms", "ours, ms", "ratio"],
        rows,
        content["facts"],
    )
