"""The card that these tests need; without one they are skipped.

``CLIPBERT_MMF_GPU_TESTS=cpu`` runs those that a CPU can do, so that the tests themselves are tested anywhere.
"""

from __future__ import annotations

import os

import pytest
import torch

ON_CPU = os.environ.get("CLIPBERT_MMF_GPU_TESTS") == "cpu"


@pytest.fixture(autouse=True)
def full_precision():
    """Compute fp32 in fp32: TF32 has ten bits, and the tests compare with a CPU."""
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    yield
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Return the device to test, a card unless the tests themselves are tested."""
    if ON_CPU:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA card")
    return torch.device("cuda")


@pytest.fixture(scope="session")
def card() -> torch.device:
    """Return the card, for what only a card has."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA card")
    return torch.device("cuda")
