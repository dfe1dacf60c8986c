"""Measure how fast encoded video and images become frames, against the ways people read them today.

One thread, files in memory, peer and ours in turn within one run. The peers are written here from their
description: what the released ClipBERT does is one open, one seek and one decode per clip. TorchCodec is a peer
where it is installed.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import PIL
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks.media import make_gif, make_jpeg, make_video
from benchmarks.table import Row, compare, format_rows, write_json
from clipbert_mmf.transforms.frames import pad_channels_last, resize_and_pad
from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.images import read_image
from clipbert_mmf.video.sampling import sample_clips
from clipbert_mmf.video.watchdog import GuardedReader

CLIP_LEN_SEC = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``benchmark.py data``."""
    parser.add_argument(
        "--cache", type=Path, default=Path("save/benchmark_media"), help="folder of generated files"
    )
    parser.add_argument("--output", type=Path, default=Path("save/benchmark_data.json"), help="JSON to write")
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds per case; the median counts")
    parser.add_argument("--reads", type=int, default=10_000, help="reads over which memory is watched")
    parser.add_argument(
        "--quick", action="store_true", help="small files and few rounds: checks that it runs"
    )


def run(args: argparse.Namespace) -> list[Row]:
    """Measure, print the table, write the JSON."""
    torch.set_num_threads(1)
    args.cache.mkdir(parents=True, exist_ok=True)
    rounds = 1 if args.quick else args.rounds
    rows = [*_video_rows(args.cache, rounds, args.quick), *_image_rows(args.cache, rounds), _transfer_row()]
    print(format_rows(rows))
    memory = _memory_over_reads(args.cache, 50 if args.quick else args.reads)
    print(
        "resident memory of one process, MiB: "
        + ", ".join(f"{size:.0f} after {n}" for n, size in memory.items())
    )
    write_json(
        args.output,
        "data",
        rows,
        rounds=rounds,
        torch=torch.__version__,
        av=av.__version__,
        resident_mib=memory,
    )
    return rows


def _video_rows(cache: Path, rounds: int, quick: bool) -> list[Row]:
    rows = []
    short, long, size = (1, 1, (320, 180)) if quick else (12, 60, (1280, 720))
    large = f"{size[0]}x{size[1]}"
    for gop in (12, 250):
        data = make_video(cache / f"{short}s_320x240_gop{gop}.mp4", short, 320, 240, gop).read_bytes()
        rows += _clip_rows(data, f"{short} s 320x240, GOP {gop}", rounds)
    for gop in (12, 250):
        name = f"{long} s {large}, GOP {gop}"
        data = make_video(cache / f"{long}s_{large}_gop{gop}.mp4", long, *size, gop).read_bytes()
        rows += _single_frame_rows(data, name, rounds)
    data = make_gif(cache / f"{short}s_240x180.gif", short, 240, 180).read_bytes()
    rows += _gif_rows(data, f"{short} s 240x180 GIF", rounds)
    data = make_video(cache / f"{short}s_320x240_gop250.mp4", short, 320, 240, 250).read_bytes()
    rows.append(_guarded_row(data, f"{short} s 320x240, GOP 250", rounds))
    return rows


def _clip_rows(data: bytes, name: str, rounds: int) -> list[Row]:
    duration = _header_duration(data)
    draws = [
        sample_clips("random", duration, 8, 2, CLIP_LEN_SEC, np.random.default_rng(n))
        for n in range(rounds + 1)
    ]
    ours_draws, peer_draws = cycle(draws), cycle(draws)
    uniform = sample_clips("uniform", duration, 16, 2, CLIP_LEN_SEC)
    sequential = f"16 uniform clips x 2, {name}"
    rows = [
        compare(
            f"8 random clips x 2, {name}",
            "PyAV: open, seek, decode per clip",
            lambda: _read_per_clip(data, next(peer_draws)),
            lambda: read_frames(data, next(ours_draws)),
            5.0,
            rounds,
        ),
        compare(
            sequential,
            "the same after a full decode for the length",
            lambda: _read_per_clip(data, uniform, learn_length=True),
            lambda: read_frames(data, uniform),
            10.0,
            rounds,
        ),
        compare(
            sequential,
            "one bare sequential PyAV pass",
            lambda: _decode_everything(data),
            lambda: read_frames(data, uniform),
            round(1 / 1.15, 2),
            rounds,
        ),
        compare(
            sequential,
            "decord, get_batch",
            lambda: _read_with_decord(data, uniform),
            lambda: read_frames(data, uniform),
            0.0,
            rounds,
        ),
        *_torchcodec_rows(f"8 random clips x 2, {name}", data, draws, rounds, 1.3),
        *_torchcodec_rows(sequential, data, [uniform], rounds, 1.3),
        *_single_frame_rows(data, name, rounds),
    ]
    if _find_torchcodec():
        rows.append(
            compare(
                sequential,
                "ours with backend=torchcodec",
                lambda: read_frames(data, uniform, backend="torchcodec"),
                lambda: read_frames(data, uniform),
                0.0,
                rounds,
            )
        )
    return rows


def _single_frame_rows(data: bytes, name: str, rounds: int) -> list[Row]:
    duration = _header_duration(data)
    draws = [
        sample_clips("random", duration, 1, 1, CLIP_LEN_SEC, np.random.default_rng(n))
        for n in range(rounds + 1)
    ]
    peer_draws, ours_draws = cycle(draws), cycle(draws)
    row = compare(
        f"1 clip x 1, {name}",
        "decord, get_batch",
        lambda: _read_with_decord(data, next(peer_draws)),
        lambda: read_frames(data, next(ours_draws)),
        1.0,
        rounds,
    )
    return [row, *_torchcodec_rows(row.case, data, draws, rounds, 1.0)]


def _gif_rows(data: bytes, name: str, rounds: int) -> list[Row]:
    times = sample_clips("uniform", _header_duration(data), 8, 2, CLIP_LEN_SEC)
    peers: dict[str, Callable[[], object]] = {
        "PyAV: open, seek, decode per clip": lambda: _read_per_clip(data, times),
        f"{_pillow()}, picture by picture": lambda: _read_gif_with_pillow(data, times),
    }
    return [
        compare(f"8 uniform clips x 2, {name}", peer, read, lambda: read_frames(data, times), 0.0, rounds)
        for peer, read in peers.items()
    ]


def _guarded_row(data: bytes, name: str, rounds: int) -> Row:
    times = sample_clips("random", _header_duration(data), 4, 1, CLIP_LEN_SEC, np.random.default_rng(0))
    reader, transform = GuardedReader(60.0), partial(pad_channels_last, image_size=448)
    try:
        return compare(
            f"4 random clips x 1 to L=448, {name}",
            "the same in a reader process under the watchdog",
            lambda: reader.read_frames(data, times, transform=transform),
            lambda: read_frames(data, times, transform=transform),
            0.0,
            rounds,
        )
    finally:
        reader.close()


def _image_rows(cache: Path, rounds: int) -> list[Row]:
    rows = []
    for width, height, goal in ((640, 480, 2.0), (2048, 1536, 0.0)):
        data = make_jpeg(cache / f"{width}x{height}.jpg", width, height).read_bytes()
        rows.append(
            compare(
                f"JPEG {width}x{height} to L=768",
                "PIL to float to bilinear",
                lambda data=data: _read_image_as_float(data, 768),
                lambda data=data: resize_and_pad(read_image(data, longest_side=768), 768),
                goal,
                rounds * 4,
            )
        )
        rows.append(
            compare(
                f"JPEG {width}x{height} to L=768",
                f"{_pillow()} in uint8, which rounds after each axis",
                lambda data=data: _read_image_with_pillow(data, 768),
                lambda data=data: resize_and_pad(read_image(data, longest_side=768), 768),
                0.0,
                rounds * 4,
            )
        )
    return rows


def _pillow() -> str:
    """Return the name of the Pillow that is installed; Pillow-SIMD takes its place and has a fourth number."""
    return f"{'Pillow-SIMD' if 'post' in PIL.__version__ else 'Pillow'} {PIL.__version__}"


def _transfer_row() -> Row:
    shape = (2, 4, 1, 3, 448, 448)
    ours, peer = torch.empty(shape, dtype=torch.uint8).nbytes, torch.empty(shape, dtype=torch.float32).nbytes
    return Row(
        "bytes from worker to device, 2 videos x 4 frames",
        "float32",
        peer / 1e6,
        ours / 1e6,
        peer / ours,
        4.0,
        "MB",
    )


def _memory_over_reads(cache: Path, num_reads: int) -> dict[int, float]:
    """Resident MiB of this process while it reads videos of different kinds, one of them broken."""
    files = [
        make_video(cache / f"2s_{width}x{height}.mp4", 2, width, height, 12).read_bytes()
        for width, height in ((160, 120), (240, 180), (96, 160))
    ]
    files += [make_gif(cache / "2s_120x90.gif", 2, 120, 90).read_bytes(), files[0][:5000]]
    rng, sizes = np.random.default_rng(0), {}
    for number in range(num_reads + 1):
        try:
            times = sample_clips("random", 2.0, 2, 1, CLIP_LEN_SEC, rng)
            read_frames(
                files[number % len(files)], times, transform=partial(pad_channels_last, image_size=96)
            )
        except MediaError:
            pass
        if number and number % max(1, num_reads // 5) == 0:
            sizes[number] = round(_resident_mib(), 1)
    return sizes


def _resident_mib() -> float:
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _header_duration(data: bytes) -> float:
    with av.open(io.BytesIO(data)) as container:
        return container.duration / av.time_base


def _read_per_clip(data: bytes, times: np.ndarray, learn_length: bool = False) -> list[np.ndarray]:
    """The released way: each clip opens the file anew, seeks, decodes its frames and converts T of them."""
    clips = []
    for row in times:
        if learn_length:
            _decode_everything(data)
            learn_length = False
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            start, end = (int(value / stream.time_base) for value in (row[0], row[0] + CLIP_LEN_SEC))
            container.seek(max(start - 1024, 0), any_frame=False, backward=True, stream=stream)
            frames = []
            for frame in container.decode(stream):
                if frame.pts >= end:
                    break
                if frame.pts >= start:
                    frames.append(frame)
            picked = np.linspace(0, len(frames) - 1, len(row)).astype(int)
            clips.append(np.stack([frames[index].to_ndarray(format="rgb24") for index in picked]))
    return clips


def _decode_everything(data: bytes) -> int:
    with av.open(io.BytesIO(data)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def _read_with_decord(data: bytes, times: np.ndarray) -> np.ndarray | None:
    import decord

    reader = decord.VideoReader(io.BytesIO(data), num_threads=1)
    indices = np.clip((times * reader.get_avg_fps()).astype(int), 0, len(reader) - 1)
    return reader.get_batch(indices.reshape(-1).tolist()).asnumpy()


def _find_torchcodec() -> ModuleType | None:
    try:
        return importlib.import_module("torchcodec.decoders")
    except (ImportError, RuntimeError, OSError):  # not installed, or without the FFmpeg it wants
        return None


def _read_with_torchcodec(decoders: Any, data: bytes, times: np.ndarray, mode: str) -> torch.Tensor:
    decoder = decoders.VideoDecoder(data, seek_mode=mode, num_ffmpeg_threads=1)
    last = decoder.metadata.end_stream_seconds - 1e-6
    return decoder.get_frames_played_at(np.minimum(times.reshape(-1), last).tolist()).data


def _torchcodec_rows(
    name: str, data: bytes, draws: Sequence[np.ndarray], rounds: int, goal: float
) -> list[Row]:
    """Compare with both modes of TorchCodec: the times of each round are the same for both."""
    decoders = _find_torchcodec()
    rows = []
    for mode in ("exact", "approximate") if decoders else ():
        theirs, ours = cycle(draws), cycle(draws)
        rows.append(
            compare(
                name,
                f"TorchCodec, {mode}",
                lambda theirs=theirs, mode=mode: _read_with_torchcodec(decoders, data, next(theirs), mode),
                lambda ours=ours: read_frames(data, next(ours)),
                goal,
                rounds,
            )
        )
    return rows


def _read_gif_with_pillow(data: bytes, times: np.ndarray) -> list[np.ndarray]:
    """Every picture up to the last wanted one is decoded: a GIF's pictures build on one another."""
    wanted = sorted({int(time * 1000) for time in times.reshape(-1)})
    frames, shown = [], 0
    with Image.open(io.BytesIO(data)) as picture:
        for picture_number in range(getattr(picture, "n_frames", 1)):
            picture.seek(picture_number)
            shown += picture.info["duration"]
            while len(frames) < len(wanted) and wanted[len(frames)] < shown:
                frames.append(np.asarray(picture.convert("RGB")))
    return frames


def _read_image_with_pillow(data: bytes, image_size: int) -> np.ndarray:
    picture = Image.open(io.BytesIO(data))
    picture.draft("RGB", (image_size, image_size))
    picture.thumbnail((image_size, image_size), Image.Resampling.BILINEAR)
    padded = Image.new("RGB", (image_size, image_size))
    padded.paste(picture.resize(_fit(picture.size, image_size), Image.Resampling.BILINEAR))
    return np.asarray(padded)


def _fit(size: tuple[int, int], image_size: int) -> tuple[int, int]:
    longer = max(size)
    return (max(1, size[0] * image_size // longer), max(1, size[1] * image_size // longer))


def _read_image_as_float(data: bytes, image_size: int) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(data)).convert("RGB"))).permute(2, 0, 1).float()
    height, width = pixels.shape[1:]
    scale = image_size / max(height, width)
    size = (int(height * scale), int(width * scale))
    resized = F.interpolate(pixels[None], size=size, mode="bilinear", align_corners=False)[0]
    return F.pad(resized, (0, image_size - size[1], 0, image_size - size[0]))
