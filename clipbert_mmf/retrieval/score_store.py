"""Keep scores of pairs on disk, so that a long evaluation resumes where it was killed.

Scores are bound to all that they depend on: a folder holds one subfolder for each combination of model,
texts, videos, sampling and arithmetic, named by its hash, with a file for each block of pairs. A file is
written under another name and then renamed, so that a killed process leaves complete entries only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clipbert_mmf.models.network import ClipBertNetwork, DatasetNetwork

logger = logging.getLogger(__name__)

_IDENTITY_FILE = "identity.json"
#: Ending of an entry's file name.
_ENDING = ".safetensors"


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named tensors: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def hash_values(values: object) -> str:
    """Return the SHA-256 of plain values, as JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def hash_network(network: ClipBertNetwork | DatasetNetwork) -> str:
    """Return a hash of all weights of a network, of its fold and of its fusion of clips."""
    return hash_values([hash_tensors(network.state_dict()), network.fold, network.clip_fusion])


class ScoreStore:
    """Scores of one combination.

    Args:
        folder: made if missing; several evaluations may share it. All processes of a run must see the same
            one.
        identity: all that the scores depend on: a name that people understand -> a hash or a value.
    """

    def __init__(self, folder: str | Path, identity: Mapping[str, str]):
        self.folder, self.identity = Path(folder), dict(identity)
        self.place = self.folder / hash_values(self.identity)[:16]

    def open(self) -> None:
        """Make the subfolder, and log which others of the folder are not used and why.

        For one process of the run.
        """
        self.place.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.folder.glob(f"*/{_IDENTITY_FILE}")):
            other = _read_identity(path)
            if path.parent != self.place and other is not None:
                changed = sorted(
                    key for key in {*other, *self.identity} if other.get(key) != self.identity.get(key)
                )
                logger.info("%s is not used: scores of another %s", path.parent, ", ".join(changed))
        _write_beside(
            self.place / _IDENTITY_FILE, lambda part: part.write_text(json.dumps(self.identity, indent=1))
        )

    def write(self, video: int, texts: Tensor, scores: Tensor) -> None:
        """Keep the scores of a video and some texts.

        Args:
            video: index of the video.
            texts: ``(n,)`` int64 indices.
            scores: ``(n, A)`` float32.
        """
        name = f"video{video:06d}-{hash_tensors({'texts': texts})[:16]}{_ENDING}"
        content = {"texts": texts.cpu().contiguous(), "scores": scores.cpu().contiguous()}
        _write_beside(self.place / name, lambda part: save_file(content, part, {"video": str(video)}))

    def read(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield video, texts and scores of each entry, in any order.

        A damaged entry is logged and left out.
        """
        for path in sorted(self.place.glob(f"*{_ENDING}")):
            try:
                content = load_file(path)
                yield int(path.name[5:11]), content["texts"], content["scores"]
            except (SafetensorError, ValueError, KeyError, OSError) as error:
                logger.warning("%s is damaged; its pairs are computed again: %s", path, error)


def _read_identity(path: Path) -> dict[str, str] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _write_beside(place: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file under another name, then rename it."""
    part = place.with_name(f"{place.name}.{os.getpid()}.part")
    write(part)
    os.replace(part, place)
