"""Signals end a run with its state saved, and the run goes on as if it had never been stopped."""

import signal
import subprocess
import time

import pytest
import torch

pytest.importorskip("mmf")

from clipbert_mmf.cli.mmf_process import find_free_port
from tests.toy_runs import losses_by_update, read_records, start, start_torchrun

OPTIONS = [
    "model_config.toy_mlp.dropout=0.5",
    "training.evaluation_interval=4",
    "training.update_frequency=2",
    "training.max_updates=8",
]


def finish(process):
    output = process.communicate(timeout=200)[0]
    return process.returncode, output


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Records and final weights of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    code, output = finish(start(folder, *OPTIONS))
    assert code == 0, output
    return describe(folder)


def describe(folder):
    records = read_records(folder)
    numbers = [(r["split"], r["update"], r["metrics"]) for r in records if r["split"] != "train"]
    weights = torch.load(folder / "toy_mlp_final.pth", weights_only=True)
    return losses_by_update(records), numbers, {name: value.tolist() for name, value in weights.items()}


#: Where the signal comes -> (the toy's variables, the signal, the update that is saved). Training reads 8 items in an
#: update, validation 13 after update 4.
PLACES = {
    "in an update": ({"TOY_SIGNAL_AT_LOSS": "2:15"}, 15, 3),
    "while the first batch of an update is read": ({"TOY_SIGNAL_AT_READ": "18:10"}, 10, 2),
    "while the second batch of an update is read": ({"TOY_SIGNAL_AT_READ": "21:2"}, 2, 3),
    "at the beginning of an epoch": ({"TOY_SIGNAL_AT_READ": "47:15"}, 15, 4),
    "in a validation": ({"TOY_SIGNAL_AT_READ": "36:15"}, 15, 4),
    "in the last update": ({"TOY_SIGNAL_AT_LOSS": "7:1"}, 1, 8),
    "in the final evaluation": ({"TOY_SIGNAL_AT_READ": "95:15"}, 15, 8),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_signal_saves_the_run_which_goes_on_bit_for_bit(whole, tmp_path, place):
    variables, number, update = PLACES[place]
    code, output = finish(start(tmp_path, *OPTIONS, **variables))
    assert code == 128 + number, output
    assert f"stopped after update {update} of 8" in output and "checkpoint.resume=true" in output
    assert "Traceback" not in output
    assert torch.load(tmp_path / "current.ckpt", weights_only=True)["num_updates"] == update
    assert not (tmp_path / "run.lock").exists()
    code, output = finish(start(tmp_path, *OPTIONS, "checkpoint.resume=true"))
    assert code == 0, output
    assert describe(tmp_path) == whole


def test_a_signal_before_the_first_update_ends_the_run_without_a_state(tmp_path):
    code, output = finish(start(tmp_path, *OPTIONS, TOY_SIGNAL_AT_READ="3:15"))
    assert code == 143 and "before anything was saved; start the run again" in output
    assert not list(tmp_path.rglob("*.ckpt"))
    assert finish(start(tmp_path, *OPTIONS, "run_type=train"))[0] == 0


def test_a_worker_that_hangs_delays_nothing_and_ends_with_the_run(tmp_path):
    # The worker hangs in the first batch of update 4.
    process = start(tmp_path, *OPTIONS, "training.num_workers=1", TOY_HANG_AT_READ="26")
    wait_for(lambda: count_updates(tmp_path) == 3)
    workers = list_children(process.pid)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == 143 and "current.ckpt is of update 3. Go on" in output, output
    assert workers and not any(is_alive(pid) for pid in workers)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGUSR1])
def test_workers_end_with_their_process_however_it_ends(tmp_path, number):
    process = start(tmp_path, *OPTIONS, "training.num_workers=2", TOY_HANG_AT_READ="15")
    wait_for(lambda: count_updates(tmp_path) == 3)
    workers = list_children(process.pid)
    process.send_signal(number)
    finish(process)
    wait_for(lambda: not any(is_alive(pid) for pid in workers))
    assert len(workers) == 2


def test_a_second_signal_ends_the_run_at_once(tmp_path):
    options = [*OPTIONS, "training.update_frequency=8", "training.evaluation_interval=0"]
    # In an update that has begun, with a first signal; the end of the wait would come after 20 s.
    process = start(tmp_path, *options, TOY_SIGNAL_AT_READ="21:15", TOY_HANG_AT_READ="21")
    while not process.stdout.readline().startswith("SIGTERM: the run is saved"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143 and "lost" not in (tmp_path / "train.log").read_text()


def test_processes_stop_after_the_same_update_whichever_is_told(whole, tmp_path):
    port = find_free_port()
    processes = [
        start(tmp_path, *OPTIONS, rank=0, world_size=2, port=port),
        start(tmp_path, *OPTIONS, rank=1, world_size=2, port=port, TOY_SIGNAL_AT_LOSS="1:10"),
    ]
    results = [finish(process) for process in processes]
    assert [code for code, _ in results] == [138, 138], results
    update = torch.load(tmp_path / "current.ckpt", weights_only=True)["num_updates"]
    assert update == 2 and f"stopped after update {update} of 8" in results[0][1]


def test_processes_leave_a_validation_together(tmp_path):
    port = find_free_port()
    processes = [
        start(tmp_path, *OPTIONS, rank=rank, world_size=2, port=port, **variables)
        for rank, variables in enumerate([{}, {"TOY_SIGNAL_AT_READ": "18:15"}])
    ]
    results = [finish(process) for process in processes]
    assert [code for code, _ in results] == [143, 143], results
    state = torch.load(tmp_path / "current.ckpt", weights_only=True)
    assert state["num_updates"] == 4 and state["clipbert_run"]["evaluated_at"] == -1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_torchrun_passes_the_signal_on_and_leaves_no_process_behind(tmp_path, number):
    options = [
        *OPTIONS,
        "training.max_updates=100000",
        "training.evaluation_interval=0",
        "training.log_interval=1",
    ]
    launcher = ["--nproc-per-node=2", "--master-port", str(find_free_port())]
    process = start_torchrun(tmp_path, launcher, *options)
    wait_for(lambda: count_updates(tmp_path) >= 4)
    ranks = list_children(process.pid)
    process.send_signal(number)
    finish(process)
    wait_for(lambda: not any(is_alive(pid) for pid in ranks))
    assert len(ranks) == 2 and torch.load(tmp_path / "current.ckpt", weights_only=True)["num_updates"] >= 4
    assert "checkpoint.resume=true" in (tmp_path / "train.log").read_text()


def wait_for(condition, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def count_updates(folder):
    return len(read_records(folder)) if (folder / "metrics.jsonl").exists() else 0


def list_children(pid):
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
