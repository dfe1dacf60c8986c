"""The networks that are measured: ours and the plain build with the same weights, and batches for both."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.plain_build import PlainClipBert
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import ModelConfig, dump_model_config, parse_model_config

#: Lengths of 64 captions: MSR-VTT's have 10 tokens in the mean; the limit is 20.
TEXT_LIMIT, MEAN_TOKENS = 20, 10


def load_settings(quick: bool) -> dict:
    """Return the paper's model, or a small one of the same parts."""
    settings = dump_model_config(ModelConfig())
    if quick:
        settings["transformer"].update(
            hidden_size=48, num_layers=2, num_heads=4, intermediate_size=96, vocab_size=500
        )
    return settings


class Pair:
    """Our network and the plain build with the same weights, and batches for both."""

    def __init__(self, quick: bool, device: str = "cpu"):
        torch.manual_seed(0)
        settings, self.device = load_settings(quick), device
        sizes = settings["transformer"]
        self.ours = build_network(parse_model_config(settings))
        # Random running statistics, as trained norms have them.
        for name, buffer in self.ours.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.8, 1.2)
        self.plain = PlainClipBert(
            self.ours,
            hidden_size=sizes["hidden_size"],
            num_layers=sizes["num_layers"],
            num_heads=sizes["num_heads"],
            intermediate_size=sizes["intermediate_size"],
            depth=settings["backbone"]["depth"] or "resnet50",
            dropout=sizes["dropout"],
        )
        self.ours.to(device), self.plain.to(device)
        self.size, self.vocab_size = 64 if quick else 448, sizes["vocab_size"]

    def make_frames(self, batch: int, clips: int = 1, length: int = 2) -> torch.Tensor:
        """Return ``(B, K, T, 3, L, L)`` uint8."""
        return torch.randint(0, 256, (batch, clips, length, 3, self.size, self.size), dtype=torch.uint8).to(
            self.device
        )

    def make_texts(self, batch: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and mask ``(B, N, TEXT_LIMIT)`` with lengths as captions have them."""
        rng = np.random.default_rng(0)
        lengths = np.clip(rng.normal(MEAN_TOKENS, 3, (batch, count)).round(), 4, TEXT_LIMIT).astype(int)
        mask = (torch.arange(TEXT_LIMIT) < torch.from_numpy(lengths)[..., None]).long()
        return (torch.randint(5, self.vocab_size, mask.shape) * mask).to(self.device), mask.to(self.device)
