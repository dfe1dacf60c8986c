"""Writes embeddings to one file: NumPy, safetensors or Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from clipbert_mmf.extras import import_extra
from clipbert_mmf.inference.embedding import Embeddings
from clipbert_mmf.version import __version__
from clipbert_mmf.writing import PARTIAL, naming, replacing


def _list_names(embeddings: Embeddings) -> dict[str, tuple[str, ...]]:
    return {
        "video_files": embeddings.video_files,
        "video_keys": embeddings.video_keys,
        "video_sha256": embeddings.video_hashes,
        "text_strings": embeddings.text_strings,
        "unreadable_files": tuple(embeddings.unreadable),
        "unreadable_reasons": tuple(embeddings.unreadable.values()),
    }


def _write_npz(embeddings: Embeddings, path: Path) -> None:
    arrays: dict[str, Any] = {
        "videos": embeddings.videos.numpy(),
        "texts": embeddings.texts.numpy(),
        "scale": np.float32(embeddings.scale),
        "model_sha256": np.array(embeddings.model_hash),
        "clipbert_mmf_version": np.array(__version__),
        **{name: np.array(values, dtype=str) for name, values in _list_names(embeddings).items()},
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _write_safetensors(embeddings: Embeddings, path: Path) -> None:
    tensors = {
        "videos": embeddings.videos,
        "texts": embeddings.texts,
        "scale": torch.tensor([embeddings.scale]),
    }
    metadata = {name: json.dumps(values) for name, values in _list_names(embeddings).items()}
    save_file(
        tensors,
        path,
        {**metadata, "model_sha256": embeddings.model_hash, "clipbert_mmf_version": __version__},
    )


def _write_parquet(embeddings: Embeddings, path: Path) -> None:
    pyarrow = _import_pyarrow()
    rows: list[dict[str, Any]] = []
    videos = zip(
        embeddings.video_files,
        embeddings.video_keys,
        embeddings.video_hashes,
        embeddings.videos.tolist(),
        strict=True,
    )
    for file, key, digest, vector in videos:
        rows.append({"kind": "video", "path": file, "key": key, "sha256": digest, "embedding": vector})
    for text, vector in zip(embeddings.text_strings, embeddings.texts.tolist(), strict=True):
        rows.append({"kind": "text", "text": text, "embedding": vector})
    for file, reason in embeddings.unreadable.items():
        rows.append({"kind": "unreadable", "path": file, "error": reason})
    text_fields = [(name, pyarrow.string()) for name in ("kind", "path", "key", "sha256", "text", "error")]
    vector = ("embedding", pyarrow.list_(pyarrow.float32(), embeddings.videos.shape[1]))
    metadata = {
        "model_sha256": embeddings.model_hash,
        "scale": repr(embeddings.scale),
        "clipbert_mmf_version": __version__,
    }
    schema = pyarrow.schema([*text_fields, vector], metadata=metadata)
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    import_extra("pyarrow.parquet", "parquet", "a Parquet file needs PyArrow").write_table(table, path)


def _import_pyarrow() -> Any:
    return import_extra("pyarrow", "parquet", "a Parquet file needs PyArrow")


#: Ending of a file -> what writes it.
_WRITERS: dict[str, Callable[[Embeddings, Path], None]] = {
    ".npz": _write_npz,
    ".safetensors": _write_safetensors,
    ".parquet": _write_parquet,
}


def write_embeddings(embeddings: Embeddings, path: str | Path) -> Path:
    """Write embeddings to one file, which appears when it is complete.

    An ``.npz`` holds the arrays ``videos``, ``texts`` and ``scale``; ``video_files``, ``video_keys`` and
    ``video_sha256`` in the order of ``videos``; ``text_strings``; ``unreadable_files`` and
    ``unreadable_reasons``; ``model_sha256``. A ``.safetensors`` has the first three as tensors and the others
    in its metadata, lists as JSON. A ``.parquet`` has a row for each video, text and unreadable video, and
    ``model_sha256`` and ``scale`` in its metadata.

    Args:
        embeddings: to write.
        path: its ending says the format; its folder is made if missing.

    Raises:
        ValueError: for another ending.
        ImportError: for Parquet without PyArrow.
    """
    path = Path(path)
    require_embedding_file(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")) as part:
        _WRITERS[path.suffix](embeddings, part)
    return path


def require_embedding_file(path: Path) -> None:
    """Raise where no embeddings can be written to a path, before they are made.

    Raises:
        ValueError: for an ending of another format.
        ImportError: for Parquet without PyArrow.
    """
    if path.suffix not in _WRITERS:
        raise ValueError(f"'{path}' ends in '{path.suffix}'; allowed are {', '.join(_WRITERS)}")
    if path.suffix == ".parquet":
        _import_pyarrow()
