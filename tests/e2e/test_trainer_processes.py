"""The trainer in processes of its own: several of them, killed, and started again."""

import pytest
import torch

pytest.importorskip("mmf")

from clipbert_mmf.cli.mmf_process import find_free_port
from tests.toy_runs import losses_by_update, read_records, run_here, start

#: 30 items in batches of 4: the last batch of an epoch has two items, one for each of two processes.
UNEVEN = ["dataset_config.toy_points.num_train=30", "training.update_frequency=3", "training.max_updates=7"]


def finish(*processes, timeout=200):
    """Wait for processes and return what they printed."""
    return [process.communicate(timeout=timeout)[0] for process in processes]


def metrics_of(records):
    return [
        (record["split"], record["update"], record["metrics"])
        for record in records
        if record["split"] != "train"
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return run_here(folder, *UNEVEN), folder


def test_a_process_that_dies_ends_the_others_and_the_run_goes_on_with_fewer(alone, tmp_path):
    """One of two is killed in the middle of the second epoch.

    One process resumes and gets the same losses.
    """
    port, options = find_free_port(), [*UNEVEN, "training.checkpoint_interval=1"]
    survivor = start(tmp_path, *options, rank=0, world_size=2, port=port)
    victim = start(tmp_path, *options, rank=1, world_size=2, port=port, TOY_KILL_AT_READ="21")
    outputs = finish(survivor, victim)
    assert victim.returncode == -9 and survivor.returncode not in (0, None), "\n".join(outputs)
    assert "process 0 of 2 stops at update" in outputs[0] and "process 1 is gone without a word" in outputs[0]
    done = torch.load(tmp_path / "current.ckpt", weights_only=True)["num_updates"]
    assert 3 <= done < 7
    records = run_here(tmp_path, *options, "checkpoint.resume=true")
    assert losses_by_update(records) == pytest.approx(losses_by_update(alone[0]), abs=1e-6)
    assert metrics_of(records) == metrics_of(alone[0])


def test_a_run_killed_in_the_middle_of_an_epoch_continues_its_curve_exactly(tmp_path, monkeypatch):
    options = ["model_config.toy_mlp.dropout=0.5", "training.checkpoint_interval=2", "run_type=train"]
    whole = run_here(tmp_path / "whole", *options)
    killed = start(tmp_path / "part", *options, TOY_KILL_AT_READ="46")  # in update 12, the fourth of epoch 2
    finish(killed)
    assert killed.returncode == -9
    logged = losses_by_update(read_records(tmp_path / "part"))
    assert max(logged) == 11 and torch.load(tmp_path / "part" / "current.ckpt")["num_updates"] == 10

    monkeypatch.setenv("TOY_READ_LOG", str(tmp_path / "read.txt"))
    resumed = run_here(tmp_path / "part", *options, "checkpoint.resume=true")
    assert losses_by_update(resumed) == losses_by_update(whole)
    assert [record["update"] for record in resumed if record["split"] == "train"] == list(range(1, 13))
    # Nothing that was done is read again: two batches of epoch 2 are left of twelve updates.
    read = (tmp_path / "read.txt").read_text().splitlines()
    assert len(read) == 8 and {line.split()[0] for line in read} == {"2"}


def test_mmf_spawns_processes_on_a_cpu(alone, tmp_path):
    process = start(tmp_path, *UNEVEN, "distributed.world_size=2", "training.device=cpu")
    (output,) = finish(process)
    assert process.returncode == 0, output
    assert losses_by_update(read_records(tmp_path)) == pytest.approx(losses_by_update(alone[0]), abs=1e-6)
