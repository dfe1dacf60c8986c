"""A user's package with one thing of every kind that ``clipbert_mmf.extending`` registers.

``test_registration_kinds.py`` names it with ``env.user_dir``, ``--user-dir`` and ``MMF_USER_DIR``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from clipbert_mmf.extending import (
    AnnotationFormat,
    DatasetSpec,
    HeadKind,
    TextRecord,
    register_backbone,
    register_backend,
    register_dataset,
    register_fold,
    register_format,
    register_head,
    register_task,
)
from clipbert_mmf.tasks.retrieval import RETRIEVAL, RetrievalTraining

#: Grey level of every pixel that the backend returns.
GREY = 77


class OwnHead(nn.Linear):
    """One linear layer on the pooled vector."""

    def __init__(self, hidden_size: int, num_outputs: int, dropout: float):
        super().__init__(hidden_size, num_outputs)
        self.num_outputs = num_outputs


@dataclass(frozen=True)
class OwnBackboneOptions:
    """Keys of ``model_config.clipbert.backbone``.

    Attributes:
        channels: of the grid.
    """

    channels: int = 8


class OwnBackbone(nn.Module):
    """One convolution over patches of 16 pixels."""

    def __init__(self, options: OwnBackboneOptions, recompute: bool):
        super().__init__()
        self.out_channels = options.channels
        self.patches = nn.Conv2d(3, options.channels, 16, 16)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the grid ``(F, channels, H / 16, W / 16)`` of frames ``(F, 3, H, W)`` of 0 to 255."""
        return F.relu(self.patches(frames.to(self.patches.weight.dtype) / 255))


def fold_worst(clip_logits: Tensor) -> Tensor:
    """Return the lowest scores of the clips: ``(P, K, A)`` to ``(P, A)``."""
    return clip_logits.amin(1)


def read_grey(
    source: Any, reader: Any, wanted: np.ndarray, num_threads: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield grey frames in place of those of the file."""
    for index in wanted.tolist():
        yield index, np.full((24, 32, 3), GREY, np.uint8)


def parse_notes(source: Any, entries: Any) -> Iterator[TextRecord]:
    """Yield a caption per line of ``{"film": "a", "note": "a red circle"}``."""
    for place, entry in entries:
        yield TextRecord(media_key=entry["film"], text=entry["note"], text_id=str(place))


class OwnItems(RetrievalTraining):
    """Captions with a word before each of them."""

    def encode(self, texts: list[str]) -> dict[str, Tensor]:
        """Return the tokens of ``a <caption>``."""
        return super().encode([f"a {text}" for text in texts])


register_head("own_head", HeadKind(2, OwnHead, asks=("score", "choose")))
register_backbone("own_backbone", OwnBackboneOptions, OwnBackbone)
register_fold("own_fold", fold_worst)
register_backend("own_backend", read_grey)
register_format("own_format", AnnotationFormat("lines", ("film", "note"), parse_notes))
register_task(replace(RETRIEVAL, name="own_task", training_items=OwnItems, heads=("match", "own_head")))
register_dataset(
    DatasetSpec(
        "own_dataset",
        corpus="own_format",
        task="own_task",
        media="video",
        config=str(Path(__file__).with_name("dataset.yaml")),
    )
)
