"""One training at a time has a folder, and a killed one blocks nothing."""

import errno
import json
import os
import subprocess
import sys

import pytest

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training import run_lock
from clipbert_mmf.training.run_lock import acquire_lock, release_lock

HOLD = """
import os, sys, time
from pathlib import Path
from clipbert_mmf.training.run_lock import acquire_lock
acquire_lock(Path(sys.argv[1]))
if os.fork() == 0:  # as a data worker
    time.sleep(30)
    os._exit(0)
print("held", flush=True)
time.sleep(30)
"""


def start_holder(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_in_use_is_refused_with_the_other_process_and_free_after_its_kill(tmp_path):
    process = start_holder(tmp_path)
    with pytest.raises(
        ConfigurationError, match=rf"is in use: process {process.pid} on .*another env.save_dir"
    ):
        acquire_lock(tmp_path)
    process.kill()
    process.wait()
    lock = acquire_lock(tmp_path)  # its child still runs
    assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    assert acquire_lock(tmp_path) is lock
    release_lock(tmp_path)
    assert not (tmp_path / "run.lock").exists()
    release_lock(tmp_path)


def test_without_locks_of_the_file_system_the_process_is_looked_for(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "lockf", refuse)
    process = start_holder(tmp_path)
    with pytest.raises(ConfigurationError, match=rf"process {process.pid} .*remove .*run.lock"):
        acquire_lock(tmp_path)
    process.kill()
    process.wait()
    acquire_lock(tmp_path).release()
    other = {"pid": 1, "host": "another-machine", "since": "2026-01-01 00:00:00"}
    (tmp_path / "run.lock").write_text(json.dumps(other))
    with pytest.raises(ConfigurationError, match="process 1 on another-machine, since 2026-01-01"):
        acquire_lock(tmp_path)
