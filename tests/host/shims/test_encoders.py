"""The ResNet that the release lacks: shapes, and gradients reach every parameter."""

import pytest
import torch

from clipbert_mmf.host.shims.encoders import ResNetEncoder


@pytest.mark.parametrize("num_features, num_cells", [(-1, 4), (1, 1), (4, 4), (5, 5), (6, 6)])
def test_the_output_has_one_row_per_grid_cell(num_features, num_cells):
    encoder = ResNetEncoder("resnet18", num_output_features=num_features, out_dim=512).eval()
    assert encoder(torch.zeros(2, 3, 64, 64)).shape == (2, num_cells, 512)


def test_gradients_reach_every_parameter():
    encoder = ResNetEncoder("resnet18", zero_init_residual=False, pool_type="max", num_output_features=1)
    encoder(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
