"""Visual tokens: their places, their number in training, and the limits of their tables."""

import pytest
import torch
from torch import nn

from clipbert_mmf.modules.embedding import VisualEmbedding
from tests.modules.filling import fill


def test_visual_tokens_are_row_by_row_and_normalised():
    embedding = VisualEmbedding(8, max_rows=5, max_columns=6).eval()
    fill(embedding)
    grid = torch.randn(2, 8, 3, 4)
    tokens = embedding(grid)
    place = embedding.rows.weight[2] + embedding.columns.weight[1] + embedding.token_type.weight[0]
    expected = nn.functional.layer_norm(
        grid[1, :, 2, 1] + place, (8,), embedding.norm.weight, embedding.norm.bias, 1e-12
    )
    assert tokens.shape == (2, 12, 8)
    torch.testing.assert_close(tokens[1, 2 * 4 + 1], expected)


def test_pixel_random_sampling_is_for_training_alone():
    embedding = VisualEmbedding(8, num_sampled=5, dropout=0.0)
    grid = torch.randn(2, 8, 4, 4)
    assert embedding.train()(grid).shape == (2, 5, 8)
    assert embedding.eval()(grid).shape == (2, 16, 8)


def test_a_grid_beyond_the_tables_is_an_error():
    with pytest.raises(ValueError, match="a grid of 4x4 exceeds the 3 row"):
        VisualEmbedding(8, max_rows=3)(torch.zeros(1, 8, 4, 4))
