"""A network with the videos and texts it is tested on: a trained run's, or random ones. Read by ``eval``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.media import make_video
from clipbert_mmf.annotations.sources import load_sources, parse_sources
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import choose_dataset
from clipbert_mmf.inference.sources import find_model, read_run
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import ModelConfig, dump_model_config, parse_model_config
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.tasks.retrieval import RetrievalEvaluation
from clipbert_mmf.transforms.frames import pad_channels_last
from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.sampling import sample_clips
from clipbert_mmf.video.stores.open import open_store


@dataclass(frozen=True)
class Corpus:
    """Holds what is scored.

    Attributes:
        network: in evaluation mode.
        tokens: ``(N, L)`` of all texts.
        frames: each video's, ``(1, K, T, 3, L, L)`` uint8.
        visual: each video's, ``(1, K, V, D)``.
        matches: ``(V, N)`` bool.
    """

    network: ClipBertNetwork
    tokens: TokenBatch
    frames: list[Tensor]
    visual: list[Tensor]
    matches: Tensor


def load_corpus(run: Path) -> Corpus:
    """Read a run's model and its test split; the encodings are made once."""
    model = ClipBert.from_pretrained(run)
    config = read_run(find_model(run, None), None).config
    name = choose_dataset(config, str(run))
    section = config["dataset_config"][name]
    root = Path(section["data_dir"])
    where = f"{run}: annotations.test"
    sources = parse_sources(section["annotations"]["test"], where)
    records = load_sources(sources, root, SPECS[name].corpus, where=where)
    maker = RetrievalEvaluation(records, model.encode_texts)
    store = open_store(str(root / section["media"]["test"]))
    frames = [model.preprocessing.read(store.read(maker.media_key(item)))[None] for item in range(len(maker))]
    visual = [model.network.encode_clips(one) for one in frames]
    return Corpus(model.network, maker.tokens, frames, visual, maker.match_matrix().bool())


def make_corpus(cache: Path, clip_fusion: str, num_videos: int = 4, num_texts: int = 12) -> Corpus:
    """Return a small random network, videos made here, and random texts."""
    torch.manual_seed(0)
    cache.mkdir(parents=True, exist_ok=True)
    settings = dump_model_config(ModelConfig())
    settings["backbone"].update(depth="resnet18", norm="group", width=8, out_stage="res4", freeze_at=0)
    settings["transformer"].update(
        hidden_size=32, num_layers=2, num_heads=4, intermediate_size=64, vocab_size=60
    )
    settings.update(clip_fusion=clip_fusion, contrastive={"weight": 1.0, "size": 8}, pairs_per_chunk=4)
    network = build_network(parse_model_config(settings)).eval()
    data = make_video(cache / "2s_160x120_gop30.mp4", 2, 160, 120, 30).read_bytes()
    rng, frames = np.random.default_rng(0), []
    for _ in range(num_videos):
        frames.append(
            read_frames(
                data,
                lambda info: sample_clips("random", info.duration_sec, 2, 1, 0.5, rng),
                transform=lambda frame: pad_channels_last(frame, image_size=64),
            )[None]
        )
    mask = (torch.arange(8) < torch.randint(2, 9, (num_texts, 1))).long()
    tokens = TokenBatch(torch.randint(5, 60, mask.shape) * mask, mask, mask * 0)
    matches = torch.arange(num_videos)[:, None] == torch.arange(num_texts) % num_videos
    return Corpus(network, tokens, frames, [network.encode_clips(one) for one in frames], matches)
