"""Processes of ``mmf_run``: their environment, and what is told of one that fails."""

import os

import pytest

from clipbert_mmf.cli.mmf_process import (
    MmfRunError,
    make_offline_environment,
    make_rank_environment,
    run_mmf,
)


def test_one_process_needs_no_variables_and_one_of_several_has_its_rank():
    assert make_rank_environment(0, 1, 5) == {}
    found = make_rank_environment(1, 2, 29500)
    assert (found["RANK"], found["WORLD_SIZE"], found["MASTER_PORT"]) == ("1", "2", "29500")


def test_further_variables_win_and_packages_outside_of_the_environment_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/own/packages")
    assert make_offline_environment(tmp_path)["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/own/packages"
    monkeypatch.delenv("PYTHONPATH")
    found = make_offline_environment(tmp_path, OMP_NUM_THREADS="2")
    assert (found["OMP_NUM_THREADS"], found["PYTHONPATH"], found["HF_HUB_OFFLINE"]) == (
        "2",
        str(tmp_path),
        "1",
    )


def test_a_failed_run_is_told_with_its_last_line_and_its_log(tmp_path):
    log = tmp_path / "deep" / "run.log"
    with pytest.raises(MmfRunError, match=r"failed with exit code 1: .*nowhere\.yaml.*run\.log\)"):
        run_mmf(["config=/nowhere.yaml", "model=clipbert", "dataset=msrvtt_qa"], log)
    assert "nowhere.yaml" in log.read_text()
