"""Searches a plain folder: its index lies beside the videos and is brought up to date first.

Without LanceDB, or where nothing may be written, every video is encoded now.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from clipbert_mmf.inference.asking import Hit
from clipbert_mmf.inference.media import require_media
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.building import IndexOptions, build_index, identify_model
from clipbert_mmf.library.rows import UNREADABLE
from clipbert_mmf.library.searching import Library
from clipbert_mmf.library.store import LibraryError, is_library, open_library_store

logger = logging.getLogger(__name__)

_OPTIONS = IndexOptions(tokens="fp32", updates=True, needs_embeddings=False)


def search_folder(
    model: ClipBert,
    model_name: str,
    folder: Path,
    texts: Sequence[str],
    top_k: int = 10,
    rerank_top_k: int | None = None,
    where: str | None = None,
    index: str | Path | None = None,
    progress: Callable[[Iterable], Iterable] = lambda videos: videos,
) -> dict[str, list[Hit]]:
    """Find the media of a folder that fit each text best.

    Args:
        model: a trained model.
        model_name: where it was loaded from.
        folder: searched at any depth.
        texts: what to look for.
        top_k: hits of each text.
        rerank_top_k: candidates of each text that embeddings choose; None for all.
        where: filter in SQL; needs an index.
        index: folder that keeps encodings; None keeps nothing.
        progress: wraps what is scored.

    Raises:
        FileNotFoundError: if the folder is not there or holds no media.
        ValueError: as ``ClipBert.search``.
    """
    files = require_media(folder, model.preprocessing.media)
    model.check_search(texts, top_k, rerank_top_k)
    if index is None or not _may_keep(Path(index)):
        if where:
            raise ValueError("--where needs an index: pip install lancedb, and leave --no-index out")
        return model.search(texts, files, top_k, progress, rerank_top_k)
    library = open_folder_index(model, model_name, folder, index)
    found = library.search(texts, top_k, rerank_top_k, where, progress)
    if where is None and not all(found.values()):
        raise ValueError(f"none of {len(files)} videos can be read")
    return {
        text: [replace(hit, video=str(folder / hit.video)) for hit in hits] for text, hits in found.items()
    }


def open_folder_index(model: ClipBert, model_name: str, folder: Path, index: str | Path) -> Library:
    """Bring the index of a folder up to date, and open it; one that cannot be read is made anew."""
    try:
        _drop_other(model, model_name, folder, index)
        build_index(model, model_name, folder, index, _OPTIONS)
        library = Library(index, model, model_name)
    except LibraryError as error:
        if not is_library(index) or "disk" in str(error):
            raise
        logger.warning("%s; it is made anew", error)
        drop_index(index)
        build_index(model, model_name, folder, index, _OPTIONS)
        library = Library(index, model, model_name)
    bad = library.store.read_columns(("path", "reason"), f"kind = '{UNREADABLE}'")
    for path, reason in sorted(zip(bad["path"].to_pylist(), bad["reason"].to_pylist(), strict=True)):
        logger.warning("left out: %s: %s", path, reason)
    return library


def _drop_other(model: ClipBert, model_name: str, folder: Path, index: str | Path) -> None:
    """Remove an index of another model or folder: it is a cache of this folder, and made anew."""
    if not is_library(index):
        return
    there, name = open_library_store(index).settings, identify_model(model, model_name)
    if there.model.hash == name.hash and there.source == os.path.realpath(folder):
        return
    if there.tokens != _OPTIONS.tokens:
        raise ValueError(
            f"'{index}' is an index of clipbert index with {there.model}; search it by its own name"
        )
    logger.warning("%s was made with the model %s of %s; it is made anew", index, there.model, there.source)
    drop_index(index)


def drop_index(index: str | Path) -> None:
    """Remove the rows of an index of a folder."""
    shutil.rmtree(Path(index) / "media.lance")


def _may_keep(index: Path) -> bool:
    if importlib.util.find_spec("lancedb") is None:
        logger.warning("every video is encoded again at each search: pip install lancedb keeps encodings")
        return False
    place = index if index.is_dir() else index.parent
    if not os.access(place, os.W_OK):
        logger.warning("%s cannot be written: every video is encoded again at each search", index)
        return False
    return True
