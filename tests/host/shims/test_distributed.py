"""The device and the timeout of each process, without starting any."""

from types import SimpleNamespace

import pytest
import torch

from clipbert_mmf.host.shims import distributed


def test_every_process_gets_the_device_of_its_number_on_its_machine(monkeypatch):
    seen = []
    runner = SimpleNamespace(
        distributed_main=lambda device_id, configuration, predict: seen.append(device_id)
    )
    distributed._use_local_rank(runner)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("SLURM_LOCALID", "3")
    runner.distributed_main(0, None)
    monkeypatch.setenv("LOCAL_RANK", "2")  # torchrun, started by srun
    runner.distributed_main(0, None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # each process sees a GPU of its own
    runner.distributed_main(0, None)
    assert seen == [3, 2, 0]


def test_the_timeout_is_read_and_checked():
    assert (
        distributed.read_timeout({}) is None
        and distributed.read_timeout({"timeout_sec": 90}).total_seconds() == 90
    )
    with pytest.raises(ValueError, match="distributed.timeout_sec is 0; expected seconds above 0"):
        distributed.read_timeout({"timeout_sec": 0})
