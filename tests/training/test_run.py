"""The optimizer of a run before the first update, and its place after a resume."""

import pytest
import torch
from torch import nn

from clipbert_mmf.training.data_order import EpochOrder, ShardedBatches
from clipbert_mmf.training.options import RunOptions
from clipbert_mmf.training.run import TrainingData, prepare_optimizer, start_run


def make_run(tmp_path, batch_size=4, **params):
    run = start_run(RunOptions(optimizer_params=params), tmp_path, local_rank=0, stored_seed=7)
    run.model = nn.Linear(2, 2)
    run.optimizer = torch.optim.AdamW(run.model.parameters(), **params)
    order = EpochOrder([ShardedBatches(30, batch_size, True, 7, "points", 0, 1)], 7)
    run.data = TrainingData({}, order, batches_per_update=1, max_updates=10)
    return run


@pytest.mark.parametrize("params, is_fused", [({}, True), ({"fused": False}, False)])
def test_the_step_is_fused_unless_the_configuration_says_how_it_is_done(tmp_path, params, is_fused):
    run = make_run(tmp_path, lr=0.5, **params)
    prepare_optimizer(run)
    group = run.optimizer.param_groups[0]
    assert bool(group["fused"]) is is_fused and group["lr"] == 0.5


def test_a_resumed_run_keeps_its_seed(tmp_path):
    assert make_run(tmp_path).seed == 7


@pytest.mark.parametrize("batch_size, position", [(4, 3), (6, 2), (8, 0)])
def test_a_place_is_restored_where_a_batch_begins_and_else_the_next_epoch_starts(
    tmp_path, batch_size, position
):
    stored = make_run(tmp_path)
    stored.epoch_position = 3
    run = make_run(tmp_path, batch_size)
    run.restore(stored.describe())
    assert run.epoch_position == position and run.describe()["version"] == 2
