"""Embeds videos and texts, each on its own, with a model that has a contrastive head.

A dot product of a video's and a text's embedding is their similarity before the learned scale.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clipbert_mmf.inference.media import require_media
from clipbert_mmf.inference.model_identity import hash_model
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.retrieval.two_stage import tell_contrastive_training
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.frame_folders import is_frame_folder
from clipbert_mmf.video.media_hash import hash_media
from clipbert_mmf.video.parallel import Mapper
from clipbert_mmf.video.stores.names import NameIndex, make_key

logger = logging.getLogger(__name__)

_TEXTS_PER_BATCH = 64


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of videos and texts in one space.

    Attributes:
        videos: ``(B, E)`` float32 unit vectors, one for each of ``video_files``.
        texts: ``(N, E)`` float32 unit vectors, one for each of ``text_strings``.
        video_files: paths of the videos that could be read.
        video_keys: key of each: its path in the folder that was given, without its ending.
        video_hashes: SHA-256 of the bytes of each; empty for a URL.
        text_strings: the texts.
        unreadable: path of each video that could not be read, and the reason.
        scale: learned factor of dot products.
        model_hash: the model's, see ``hash_model``; embeddings of two models do not compare.
    """

    videos: Tensor
    texts: Tensor
    video_files: tuple[str, ...]
    video_keys: tuple[str, ...]
    video_hashes: tuple[str, ...]
    text_strings: tuple[str, ...]
    unreadable: dict[str, str]
    scale: float
    model_hash: str


def list_media(places: Iterable[Path], media: str) -> dict[Path, str]:
    """Return the files that paths name, and the key of each.

    Args:
        places: media, or folders that are searched at any depth.
        media: a key of ``MEDIA_ENDINGS``.

    Returns:
        File to key: its path without its ending, in its folder where that was given. A file that is named
        twice is there once.

    Raises:
        FileNotFoundError: if a folder holds no medium of this kind.
        ValueError: if two files have one key.
    """
    owners: dict[str, Path] = {}
    for place in places:
        for file, key in _list_keys(place, media):
            owner = owners.setdefault(key, file)
            if owner is not file and not _is_same(owner, file):
                raise ValueError(
                    f"'{owner}' and '{file}' would both be called '{key}'; give the folder above both, or write "
                    f"them to two files"
                )
    return {file: key for key, file in owners.items()}


def _list_keys(place: Path, media: str) -> Iterable[tuple[Path, str]]:
    if not place.is_dir() or is_frame_folder(place):
        return [(place, make_key(str(place)))]
    files = require_media(place, media)
    names = {file.relative_to(place).as_posix(): file for file in files}
    return [(names[name], key) for key, name in NameIndex(names, str(place)).names.items()]


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other


def require_contrastive_head(model: ClipBert) -> None:
    """Raise ``ValueError`` where a model has no contrastive head."""
    if model.network.contrastive is None:
        raise ValueError(
            f"this model has no contrastive head, so it has no embeddings of videos and texts on their own; "
            f"{tell_contrastive_training()}"
        )


@dataclass(frozen=True)
class _EmbeddedVideo:
    """One video on its way: its embedding ``(1, E)`` and hash, or why there are none."""

    number: int
    row: Tensor | None = None
    digest: str = ""
    reason: str = ""


class _VideoEmbedder:
    """Embeds one video of a numbered list."""

    def __init__(self, model: ClipBert):
        self.model = model

    @torch.inference_mode()
    def __call__(self, item: tuple[int, str | Path]) -> _EmbeddedVideo:
        number, video = item
        try:
            visual = self.model.encode(video).visual
            digest = "" if "://" in str(video) else hash_media(Path(video))
        except MediaError as error:
            return _EmbeddedVideo(number, reason=error.reason)
        row = self.model.network.embed_videos(visual[None].to(self.model.device)).float().cpu()
        return _EmbeddedVideo(
            number, check_scores(row, 1, lambda row: f"the embedding of {video}").clone(), digest
        )


def embed(
    model: ClipBert,
    videos: Iterable[str | Path],
    texts: Sequence[str],
    keys: Mapping[Path, str] | None = None,
    mapper: Mapper = map,
) -> Embeddings:
    """Embed videos and texts, each on its own.

    Args:
        model: with a contrastive head.
        videos: files; those that cannot be read are left out and listed.
        texts: may be empty.
        keys: from ``list_media``; by default a video's key is its path without its ending.
        mapper: where videos are read and embedded; by default in this process, one after the other.

    Raises:
        ValueError: if the model has no contrastive head, or a text is empty.
        ScoresError: if an embedding is not finite.
    """
    require_contrastive_head(model)
    network = model.network
    assert network.contrastive is not None
    # First: what is wrong with a text is told before a video is read.
    text_rows = embed_texts(model, texts)
    listed: list[str | Path] = []

    def number_videos() -> Iterator[tuple[int, str | Path]]:
        for number, video in enumerate(videos):
            listed.append(video)
            yield number, video

    done = sorted(mapper(_VideoEmbedder(model), number_videos()), key=lambda one: one.number)
    found = [one for one in done if one.row is not None]
    files = [listed[one.number] for one in found]
    unreadable = {str(listed[one.number]): one.reason for one in done if one.row is None}
    for video, reason in unreadable.items():
        logger.warning("left out: %s: %s", video, reason)
    empty = torch.empty(0, network.contrastive.size)
    return Embeddings(
        torch.cat([empty, *(one.row for one in found if one.row is not None)]),
        torch.cat([empty, *text_rows]),
        tuple(map(str, files)),
        tuple((keys or {}).get(Path(file)) or make_key(str(file)) for file in files),
        tuple(one.digest for one in found),
        tuple(texts),
        unreadable,
        float(network.contrastive.scale.detach()),
        hash_model(model),
    )


@torch.inference_mode()
def embed_texts(model: ClipBert, texts: Sequence[str]) -> list[Tensor]:
    """Return unit vectors ``(n, E)`` of texts, some at a time.

    Raises:
        ValueError: if a text is empty.
        ScoresError: if an embedding is not finite.
    """
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
