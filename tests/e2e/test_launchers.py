"""torchrun, Slurm and two machines: processes find each other, say why they end, and are started again."""

import os
import shutil
import subprocess

import pytest

pytest.importorskip("mmf")

from clipbert_mmf.cli.mmf_process import find_free_port
from tests.toy_runs import (
    PLUGIN,
    PROGRAM,
    ROOT,
    losses_by_update,
    read_records,
    run_here,
    start_program,
    start_torchrun,
    toy_options,
)

OPTIONS = ["dataset_config.toy_points.num_train=30", "training.update_frequency=3", "training.max_updates=7"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return losses_by_update(run_here(tmp_path_factory.mktemp("alone"), *OPTIONS))


def finish(processes, timeout=200):
    """Wait for processes and return what they printed; none is left behind."""
    try:
        return [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


def environment(**more):
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "MMF_USER_DIR": str(PLUGIN),
        **more,
    }


def test_torchrun_on_two_nodes_tells_the_reason_and_starts_again_from_the_last_checkpoint(expected, tmp_path):
    """Two loopback addresses stand for two machines.

    An item of the second is damaged, the first time it is read.
    """
    launcher = [
        "--nnodes=2",
        "--nproc-per-node=1",
        "--max-restarts=1",
        "--rdzv-backend=c10d",
        "--rdzv-id=toy",
        f"--rdzv-endpoint=127.0.0.1:{find_free_port()}",
    ]
    options = [*OPTIONS, "training.checkpoint_interval=1", "checkpoint.resume=true"]
    # As the documentation says: with the agents' own store, a second start may find the addresses of the
    # first.
    own = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    nodes = [
        start_torchrun(tmp_path, [*launcher, "--local-addr=127.0.0.1"], *options, **own),
        start_torchrun(
            tmp_path, [*launcher, "--local-addr=127.0.0.2"], *options, **own, TOY_FAIL_AT_READ="21"
        ),
    ]
    outputs = finish(nodes)
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(outputs)
    assert "mmf_run: item 21 is damaged" in outputs[1]
    assert "resuming after update 3" in outputs[0]
    assert losses_by_update(read_records(tmp_path)) == pytest.approx(expected, abs=1e-6)


def test_srun_alone_starts_a_run_and_a_process_that_hangs_ends_it_with_its_number(expected, tmp_path):
    job = {
        "SLURM_JOB_ID": str(find_free_port()),
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "127.0.0.[1-2]",
        "SLURM_LOCALID": "0",
        "MASTER_PORT": str(find_free_port()),
    }
    arguments = [str(PROGRAM), *toy_options(tmp_path, *OPTIONS, "distributed.timeout_sec=10")]
    waiting = start_program(arguments, environment(**job, SLURM_PROCID="0"))
    hanging = start_program(arguments, environment(**job, SLURM_PROCID="1", TOY_HANG_AT_READ="21"))
    try:
        output = finish([waiting])[0]
        assert hanging.poll() is None
    finally:
        hanging.kill()
        hanging.communicate()
    assert waiting.returncode == 1, output
    assert "process 1 did not come to the same place within distributed.timeout_sec: it is stuck" in output
    losses = losses_by_update(read_records(tmp_path))
    assert losses == pytest.approx({update: expected[update] for update in (1, 2, 3)}, abs=1e-6)


@pytest.fixture
def two_namespaces():
    """Two network namespaces joined by a cable, as two machines are."""
    if not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("network namespaces need the ip command and root")
    names = [f"toy{os.getpid()}{side}" for side in "ab"]
    cables = [f"t{os.getpid()}{side}" for side in "ab"]
    steps = [
        f"netns add {names[0]}",
        f"netns add {names[1]}",
        f"link add name {cables[0]} netns {names[0]} type veth peer name {cables[1]} netns {names[1]}",
    ]
    for number, (name, cable) in enumerate(zip(names, cables, strict=False), 1):
        steps += [
            f"-n {name} addr add 10.99.7.{number}/24 dev {cable}",
            f"-n {name} link set {cable} up",
            f"-n {name} link set lo up",
        ]
    try:
        for step in steps:
            done = subprocess.run(["ip", *step.split()], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"this machine does not permit it: ip {step}: {done.stderr.strip()}")
        yield list(zip(names, cables, strict=False))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def test_processes_in_two_network_namespaces_train_as_one_does(expected, tmp_path, two_namespaces):
    arguments = [str(PROGRAM), *toy_options(tmp_path, *OPTIONS)]
    processes = [
        start_program(
            arguments,
            environment(
                MASTER_ADDR="10.99.7.1",
                MASTER_PORT="29400",
                WORLD_SIZE="2",
                RANK=str(rank),
                LOCAL_RANK="0",
                GLOO_SOCKET_IFNAME=cable,
            ),
            before=("ip", "netns", "exec", name),
        )
        for rank, (name, cable) in enumerate(two_namespaces)
    ]
    outputs = finish(processes)
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    assert losses_by_update(read_records(tmp_path)) == pytest.approx(expected, abs=1e-6)
