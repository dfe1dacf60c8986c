"""Embeddings of videos and texts from a model with a contrastive head, and the file that keeps them.

A dot product of a video's and a text's embedding is their similarity before the learned scale.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.video.errors import MediaError

logger = logging.getLogger(__name__)

#: Endings of the files that ``write_embeddings`` can write.
EMBEDDING_ENDINGS = (".npz", ".safetensors")
_TEXTS_PER_BATCH = 64


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of videos and texts in one space.

    Attributes:
        videos: ``(B, E)`` float32 unit vectors, one for each of ``video_files``.
        texts: ``(N, E)`` float32 unit vectors, one for each of ``text_strings``.
        video_files: paths of the videos that could be read.
        text_strings: the texts.
        unreadable: path of each video that could not be read, and the reason.
        scale: learned factor of dot products.
    """

    videos: Tensor
    texts: Tensor
    video_files: tuple[str, ...]
    text_strings: tuple[str, ...]
    unreadable: dict[str, str]
    scale: float


def require_contrastive_head(model: ClipBert) -> None:
    """Raise ``ValueError`` where a model has no contrastive head."""
    if model.network.contrastive is None:
        raise ValueError(
            "this model has no contrastive head, so it has no embeddings of videos and texts on their own; "
            "train one with model_config.clipbert.contrastive.weight above 0"
        )


@torch.inference_mode()
def embed(model: ClipBert, videos: Iterable[str | Path], texts: Sequence[str]) -> Embeddings:
    """Embed videos and texts, each on its own.

    Args:
        model: with a contrastive head.
        videos: files; those that cannot be read are left out and listed.
        texts: may be empty.

    Raises:
        ValueError: if the model has no contrastive head, or a text is empty.
        ScoresError: if an embedding is not finite.
    """
    require_contrastive_head(model)
    network = model.network
    assert network.contrastive is not None
    size = network.contrastive.text.out_features
    rows, files, unreadable = [], [], {}
    for video in videos:
        try:
            visual = model.encode(video).visual
        except MediaError as error:
            unreadable[str(video)] = error.reason
            logger.warning("left out: %s", error)
            continue
        row = network.embed_videos(visual[None].to(model.device)).float().cpu()
        rows.append(check_scores(row, 1, lambda row, video=video: f"the embedding of {video}"))
        files.append(str(video))
    empty = torch.empty(0, size)
    return Embeddings(
        torch.cat([empty, *rows]),
        torch.cat([empty, *_embed_texts(model, texts)]),
        tuple(files),
        tuple(texts),
        unreadable,
        float(network.contrastive.scale),
    )


def _embed_texts(model: ClipBert, texts: Sequence[str]) -> list[Tensor]:
    for number, text in enumerate(texts):
        if not text.strip():
            raise ValueError(f"text {number + 1} of {len(texts)} is empty")
    rows = []
    for start in range(0, len(texts), _TEXTS_PER_BATCH):
        part = texts[start : start + _TEXTS_PER_BATCH]
        tokens = model.encode_texts(part)
        embedded = model.network.embed_texts(*(x.to(model.device) for x in tokens)).float().cpu()
        rows.append(
            check_scores(
                embedded, len(part), lambda row, part=part: f"the embedding of the text {part[row]!r}"
            )
        )
    return rows


def write_embeddings(embeddings: Embeddings, path: str | Path) -> Path:
    """Write embeddings to one file.

    An ``.npz`` holds the arrays ``videos``, ``texts``, ``video_files``, ``text_strings`` and ``scale``; a
    ``.safetensors`` holds ``videos``, ``texts`` and ``scale``, with the two lists as JSON in its metadata.

    Args:
        embeddings: to write.
        path: ends in one of ``EMBEDDING_ENDINGS``; its folder is made if missing.

    Raises:
        ValueError: for another ending.
    """
    path = Path(path)
    require_embedding_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(
            path,
            videos=embeddings.videos.numpy(),
            texts=embeddings.texts.numpy(),
            video_files=np.array(embeddings.video_files, dtype=str),
            text_strings=np.array(embeddings.text_strings, dtype=str),
            scale=np.float32(embeddings.scale),
        )
    else:
        tensors = {"videos": embeddings.videos, "texts": embeddings.texts}
        tensors["scale"] = torch.tensor([embeddings.scale])
        names = {"video_files": embeddings.video_files, "text_strings": embeddings.text_strings}
        save_file(tensors, path, {name: json.dumps(values) for name, values in names.items()})
    return path


def require_embedding_ending(path: Path) -> None:
    """Raise ``ValueError`` where no embeddings can be written to a path."""
    if path.suffix not in EMBEDDING_ENDINGS:
        raise ValueError(f"'{path}' ends in '{path.suffix}'; allowed are {', '.join(EMBEDDING_ENDINGS)}")
