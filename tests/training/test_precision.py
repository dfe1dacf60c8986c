"""One name decides the arithmetic, and what a device cannot do is refused."""

import pytest
import torch

from clipbert_mmf.training.precision import Precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("name, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_computed_in_the_precision(name, dtype):
    precision = Precision(name, CPU)
    with precision.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert not precision.make_scaler().is_enabled()


def test_half_precision_with_scaling_needs_a_gpu():
    with pytest.raises(
        ValueError, match=r"fp16 needs a CUDA device, and this run is on 'cpu'; use bf16 or fp32"
    ):
        Precision("fp16", CPU)
