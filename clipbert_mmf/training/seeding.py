"""Derives the generators' state from the place in a run: seed, purpose, update or epoch, rank.

So a resumed run draws what the uninterrupted one would have drawn, with nothing to store, whatever evaluation
or checkpointing happened in between.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch


def derive_state(seed: int, *parts: int | str) -> npt.NDArray[Any]:
    """Return four 32-bit words that depend on the seed and every part."""
    words = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in parts]
    return np.random.SeedSequence([seed & 0xFFFFFFFF, *words]).generate_state(4)


def seed_all(seed: int, *parts: int | str) -> None:
    """Put torch (CPU and CUDA), numpy and python into the state that ``derive_state`` names."""
    state = derive_state(seed, *parts)
    cast(Any, torch).manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
    np.random.seed(state)
    random.seed(state.tobytes())


@contextmanager
def numpy_seeded(seed: int, *parts: int | str) -> Generator[None]:
    """Seed numpy's global generator for a while: MMF's iteration strategies draw from it."""
    saved = np.random.get_state()
    np.random.seed(derive_state(seed, *parts))
    try:
        yield
    finally:
        np.random.set_state(saved)
