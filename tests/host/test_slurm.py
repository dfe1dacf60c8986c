"""Slurm's variables tell which process of a job step this is."""

import pytest

from clipbert_mmf.host import slurm

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
