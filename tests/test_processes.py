"""How the threads of a process wait for work, and when it looks for garbage."""

import gc
import os
import subprocess
import sys

import pytest

from clipbert_mmf import processes
from clipbert_mmf.processes import let_idle_threads_sleep, pause_garbage_collection

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


@pytest.fixture
def early(monkeypatch):
    """PyTorch is not imported yet."""
    monkeypatch.setattr(processes, "sys", type("sys", (), {"modules": {}}))


@pytest.mark.parametrize(
    "device, given, expected",
    [
        (None, {}, PASSIVE),
        ("nvidiactl", {}, PASSIVE),
        ("nvidia0", {}, {}),
        ("kfd", {}, {}),
        (None, {"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        (None, {"KMP_BLOCKTIME": "200"}, {"KMP_BLOCKTIME": "200"}),
        (None, {"GOMP_SPINCOUNT": "1000"}, {"GOMP_SPINCOUNT": "1000"}),
    ],
)
def test_idle_threads_sleep_on_a_cpu_unless_the_user_chose(early, tmp_path, device, given, expected):
    if device:
        (tmp_path / device).touch()
    environment = dict(given)
    let_idle_threads_sleep(environment, tmp_path)
    assert environment == expected


def test_it_is_too_late_once_pytorch_is_imported(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "sys", type("sys", (), {"modules": {"torch": None}}))
    environment: dict[str, str] = {}
    let_idle_threads_sleep(environment, tmp_path)
    assert environment == {}


@pytest.mark.skipif(any(map(os.path.exists, ("/dev/nvidia0", "/dev/kfd"))), reason="this machine has a GPU")
@pytest.mark.parametrize(
    "start", ["import mmf", "from mmf_cli.run import run", "from mmf_cli.predict import predict"]
)
def test_threads_know_before_mmf_or_its_commands_import_pytorch(start):
    code = f"""
import os, sys, clipbert_mmf
class Watch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch)
{start}
"""
    environment = {key: value for key, value in os.environ.items() if key not in (*PASSIVE, "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["PASSIVE"], done.stderr


def test_garbage_waits_inside_alone_and_also_after_an_error():
    with pytest.raises(ValueError), pause_garbage_collection():
        with pause_garbage_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()


def test_who_collects_no_garbage_stays_with_it():
    gc.disable()
    try:
        with pause_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
