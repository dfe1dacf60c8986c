"""Every temporal fusion makes one grid of T."""

import pytest
import torch

from clipbert_mmf.modules.temporal_fusion import TEMPORAL_FUSIONS


@pytest.mark.parametrize("name", sorted(TEMPORAL_FUSIONS))
def test_fusion_keeps_the_grid_and_passes_gradients(name):
    fusion = TEMPORAL_FUSIONS[name](4)
    grids = torch.randn(2, 3, 4, 5, 6, requires_grad=True)
    fused = fusion(grids)
    assert fused.shape == (2, 4, 5, 6)
    fused.sum().backward()
    assert grids.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in fusion.parameters())


def test_the_mean_is_the_papers_choice_and_has_no_parameters():
    fusion, grids = TEMPORAL_FUSIONS["mean"](4), torch.randn(2, 3, 4, 5, 6)
    torch.testing.assert_close(fusion(grids), grids.mean(1))
    assert not list(fusion.parameters())
