"""Options of several processes, without starting any."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from clipbert_mmf.training import distributed as parallel
from clipbert_mmf.training.distributed import check_batch_size
from clipbert_mmf.training.options import ParallelOptions


def test_a_batch_that_does_not_divide_is_refused_with_what_would_do(monkeypatch):
    monkeypatch.setattr(parallel, "get_world_size", lambda: 3)
    check_batch_size(6, 1)
    with pytest.raises(
        ValueError,
        match=r"batch_size=4 .* 3 processes cannot .* same 12 items per update: 1, 2, 4 "
        "processes, or training.batch_size=3 training.update_frequency=4",
    ):
        check_batch_size(4, 3)
    with pytest.raises(ValueError, match=r"same 4 items per update: 1, 2, 4 processes$"):
        check_batch_size(4, 1)


@pytest.fixture
def group():
    import torch.distributed.optim

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    parallel.shut_down_process_group()


def test_parameters_without_a_gradient_are_named_before_they_are_waited_for(group):
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "pooler": nn.Linear(2, 2)})
    model.forward = lambda x: model["used"](x)
    wrapped = DistributedDataParallel(model)
    wrapped(torch.ones(1, 2)).sum().backward()
    with pytest.raises(
        RuntimeError, match=r"2 trained .* \(pooler.weight, pooler.bias\): set training.find_unused"
    ):
        parallel.check_every_parameter_took_part(wrapped, ParallelOptions())
    parallel.check_every_parameter_took_part(wrapped, ParallelOptions(find_unused_parameters=True))
    parallel.check_every_parameter_took_part(model, ParallelOptions())
