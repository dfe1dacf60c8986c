"""Options of several processes, and who a process is, without starting any."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from clipbert_mmf.host import slurm
from clipbert_mmf.training import distributed as parallel
from clipbert_mmf.training.distributed import ParallelOptions, check_batch_size, read_parallel_options
from clipbert_mmf.training.sharding import find_repeated_blocks, shard

TASK = {
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[03-05,9],login",
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
}


def test_a_task_of_srun_knows_its_place_and_where_the_first_is():
    task = slurm.find_slurm_task(TASK)
    assert (task.rank, task.local_rank, task.world_size, task.address) == (9, 1, 16, "gpu03")
    assert task.port == slurm.find_slurm_task({**TASK, "SLURM_PROCID": "0"}).port
    assert task.port != slurm.find_slurm_task({**TASK, "SLURM_STEP_ID": "1"}).port
    assert slurm.find_slurm_task(TASK, port=29500).port == 29500
    assert (
        slurm.find_slurm_task({**TASK, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1234"}).address
        == "10.0.0.1"
    )


def test_a_batch_script_or_one_task_is_no_part_of_a_step():
    script = {
        "SLURM_JOB_ID": "4711",
        "SLURM_NTASKS": "16",
        "SLURM_PROCID": "0",
        "SLURM_JOB_NODELIST": "gpu[03-05]",
    }
    assert slurm.find_slurm_task(script) is None
    assert slurm.find_slurm_task({**TASK, "SLURM_STEP_NUM_TASKS": "1"}) is None
    assert slurm.find_slurm_task({}) is None


@pytest.mark.parametrize(
    "nodes, first",
    [
        ("gpu[03-05,9],login", "gpu03"),
        ("node7", "node7"),
        ("a,b", "a"),
        ("rack[1-2]n[3,7]", "rack1n3"),
        ("c[9,11-12]", "c9"),
    ],
)
def test_the_first_node_of_slurms_short_form(nodes, first):
    assert slurm.first_node(nodes) == first


@pytest.mark.parametrize(
    "change, message",
    [
        ({"SLURM_STEP_NODELIST": ""}, "SLURM_STEP_NODELIST is ''; expected names of nodes"),
        ({"SLURM_PROCID": "x"}, "SLURM_PROCID is 'x'; expected a number"),
    ],
)
def test_slurms_variables_that_make_no_sense_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        slurm.find_slurm_task({**TASK, **change})


def test_every_process_gets_the_device_of_its_number_on_its_machine(monkeypatch):
    from types import SimpleNamespace

    from clipbert_mmf.host import distributed_shims

    seen = []
    runner = SimpleNamespace(
        distributed_main=lambda device_id, configuration, predict: seen.append(device_id)
    )
    distributed_shims._use_local_rank(runner)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("SLURM_LOCALID", "3")
    runner.distributed_main(0, None)
    monkeypatch.setenv("LOCAL_RANK", "2")  # torchrun, started by srun
    runner.distributed_main(0, None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # each process sees a GPU of its own
    runner.distributed_main(0, None)
    assert seen == [3, 2, 0]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sharding": "zero"}, "training.sharding is 'zero'; allowed are none, optimizer, full"),
        (
            {"gradient_reduction": "int8"},
            "training.gradient_reduction is 'int8'; allowed are fp32, bf16, fp16",
        ),
        (
            {"sharding": "full", "static_graph": True},
            "sharding=full needs neither .* nor training.static_graph",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        read_parallel_options(settings)


def test_a_batch_that_does_not_divide_is_refused_with_what_would_do(monkeypatch):
    monkeypatch.setattr(parallel, "get_world_size", lambda: 3)
    check_batch_size(6, 1)
    with pytest.raises(
        ValueError,
        match="batch_size=4 .* 3 processes cannot .* same 12 items per update: 1, 2, 4 "
        "processes, or training.batch_size=3 training.update_frequency=4",
    ):
        check_batch_size(4, 3)
    with pytest.raises(ValueError, match="same 4 items per update: 1, 2, 4 processes$"):
        check_batch_size(4, 1)


def test_the_timeout_is_read_and_checked():
    from clipbert_mmf.host.distributed_shims import read_timeout

    assert read_timeout({}) is None and read_timeout({"timeout_sec": 90}).total_seconds() == 90
    with pytest.raises(ValueError, match="distributed.timeout_sec is 0; expected seconds above 0"):
        read_timeout({"timeout_sec": 0})


@pytest.fixture
def group():
    import torch.distributed.optim

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    parallel.leave_together()


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


def test_layers_and_stages_are_what_is_split_apart():
    layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2) for _ in range(3))
    model = nn.ModuleDict(
        {
            "embedding": nn.Embedding(4, 8),
            "encoder": nn.ModuleDict({"layers": layers}),
            "head": nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)),
        }
    )
    assert find_repeated_blocks(model) == [*layers, model["head"][0], model["head"][2]]


def test_one_process_has_nothing_to_shard():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    assert shard(model, optimizer, ParallelOptions(sharding="full"), {}, torch.device("cpu")) is optimizer
