"""The grid encoder: the sizes of its grids."""

import pytest
import torch

from clipbert_mmf.modules.backbones.grid_resnet import GridResnet, GridResnetOptions
from clipbert_mmf.modules.grid_encoder import GridEncoder


@pytest.mark.parametrize("image_size, grid", [(448, 7), (768, 12)])
def test_grid_sizes_are_the_papers(image_size, grid):
    backbone = GridResnet(GridResnetOptions("resnet18", width=8))
    encoder = GridEncoder(backbone.out_channels, 16)
    frames = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
    assert encoder(backbone(frames)).shape == (1, 16, grid, grid)
