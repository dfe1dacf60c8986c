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


@pytest.mark.parametrize("name", ["fp16", "tf32"])
def test_what_only_a_gpu_can_do_needs_one(name):
    with pytest.raises(
        ValueError, match=rf"{name} needs a CUDA device, and this run is on 'cpu'; use bf16 or fp32"
    ):
        Precision(name, CPU)


@pytest.fixture
def switches():
    """The switches are there without a card; they are set back."""
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    yield backends
    for backend, value in zip(backends, before, strict=True):
        backend.allow_tf32 = value


@pytest.mark.parametrize("name, rounds", [("fp32", False), ("tf32", True)])
def test_fp32_on_a_gpu_is_fp32_and_only_tf32_rounds(name, rounds, switches):
    for backend in switches:
        backend.allow_tf32 = not rounds
    Precision(name, torch.device("cuda"))
    assert [backend.allow_tf32 for backend in switches] == [rounds, rounds]
