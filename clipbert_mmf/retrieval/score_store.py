"""Keep scores of pairs on disk, so that a long evaluation resumes where it was killed.

Scores are bound to all that they depend on: a folder holds one subfolder for each combination of model,
texts, videos, sampling and arithmetic, named by its hash, with a file for each block of pairs. A file is
written under another name and then renamed, so that a killed process leaves complete entries only. It says which
pairs it holds and has a checksum over them, so that one that was changed, renamed or copied is not believed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clipbert_mmf.json_text import parse_json
from clipbert_mmf.models.network import ClipBertNetwork, DatasetNetwork
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.writing import PARTIAL, naming, replacing

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
        with naming(self.place):
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
        texts, scores = texts.cpu().contiguous(), scores.cpu().contiguous()
        content = {"texts": texts, "scores": scores}
        # One entry of metadata: safetensors writes several in any order.
        metadata = {"entry": json.dumps({"video": video, "checksum": self._hash_entry(video, texts, scores)})}
        _write_beside(self.place / _name_entry(video, texts), lambda part: save_file(content, part, metadata))

    def read(
        self, num_videos: int, num_texts: int, num_outputs: int = 2
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield video, texts and scores of each entry, in any order.

        An entry that is damaged, was changed, or lies under another's name is logged and left out.

        Args:
            num_videos: number of videos of the split.
            num_texts: number of texts of the split.
            num_outputs: A, number of scores of a pair.
        """
        for path in sorted(self.place.glob(f"*{_ENDING}")):
            try:
                video, texts, scores = self._read_entry(path)
                fits = 0 <= video < num_videos and texts.dim() == 1 and texts.dtype == torch.int64
                if not fits or not bool(((texts >= 0) & (texts < num_texts)).all()):
                    raise ValueError("its pairs are not of this split")
                if scores.shape != (len(texts), num_outputs) or scores.dtype != torch.float32:
                    raise ValueError(
                        f"its scores have the shape {tuple(scores.shape)} and type {scores.dtype}"
                    )
                check_scores(scores, len(texts), lambda row, texts=texts: f"text {int(texts[row])}")
            except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
                logger.warning("%s is damaged; its pairs are computed again: %s", path, error)
                continue
            yield video, texts, scores

    def _read_entry(self, path: Path) -> tuple[int, Tensor, Tensor]:
        if not path.is_file():
            raise ValueError("it is no file")
        with safe_open(str(path), framework="pt") as file:
            entry = parse_json((file.metadata() or {})["entry"])
            video, texts, scores = int(entry["video"]), file.get_tensor("texts"), file.get_tensor("scores")
        if entry["checksum"] != self._hash_entry(video, texts, scores):
            raise ValueError("its checksum is another")
        if path.name != _name_entry(video, texts):
            raise ValueError(f"it is the entry {_name_entry(video, texts)}")
        return video, texts, scores

    def _hash_entry(self, video: int, texts: Tensor, scores: Tensor) -> str:
        return hash_values([self.identity, video, hash_tensors({"texts": texts, "scores": scores})])


def _name_entry(video: int, texts: Tensor) -> str:
    return f"video{video:06d}-{hash_tensors({'texts': texts})[:16]}{_ENDING}"


def _read_identity(path: Path) -> dict[str, str] | None:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _write_beside(place: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file under another name, then rename it."""
    with replacing(place, place.with_name(f"{place.name}.{os.getpid()}{PARTIAL}")) as partial:
        write(partial)
