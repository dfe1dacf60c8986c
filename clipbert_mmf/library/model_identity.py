"""Says which model an index was made with: a hash of all that embeddings and scores depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import torch

from clipbert_mmf.inference.pretrained import ClipBert


@dataclass(frozen=True)
class ModelIdentity:
    """A model, as an index knows it.

    Attributes:
        hash: 16 hexadecimal digits over weights, sampling and decoder.
        name: where it was loaded from, for messages.
    """

    hash: str
    name: str

    def __str__(self) -> str:
        return f"'{self.name}' ({self.hash})"


def identify_model(model: ClipBert, name: str) -> ModelIdentity:
    """Return the identity of a model that was loaded from ``name``."""
    return ModelIdentity(hash_model(model), name)


def hash_model(model: ClipBert) -> str:
    """Return 16 hexadecimal digits that change with the weights, the sampling or the decoder."""
    about = {
        "preprocessing": model.preprocessing.to_dict(),
        # A decoder of one's own may show other pictures.
        "backend": getattr(model.preprocessing.clips, "backend", "").replace("auto", "pyav"),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
