"""A network small enough to score every pair, with its videos and texts."""

import pytest
import torch

from clipbert_mmf.shapes import TokenBatch
from tests.models.test_network import make_network
from tests.retrieval.small_matrix import CLIPS, TEXTS, VIDEOS


@pytest.fixture(scope="module", params=["fold", "concat"])
def small(request):
    """Return a network, frames of its videos, their encoded clips, and texts of 2 to 8 tokens."""
    network = make_network(pairs_per_chunk=4, clip_fusion=request.param, contrastive=True).eval()
    generator = torch.Generator().manual_seed(4)
    frames = torch.randint(0, 256, (VIDEOS, CLIPS, 1, 3, 64, 64), generator=generator, dtype=torch.uint8)
    ids = torch.randint(5, 60, (TEXTS, 8), generator=generator)
    mask = (torch.arange(8) < torch.tensor([8, 2, 5, 5, 3, 8, 7, 2, 6])[:, None]).long()
    with torch.inference_mode():
        visual = [network.encode_clips(frames[i : i + 1]) for i in range(VIDEOS)]
    return network, frames, visual, TokenBatch(ids * mask, mask, ids * 0)
