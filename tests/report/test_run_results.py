"""Numbers of a finished run are read from its folder."""

import json

import pytest
import torch

from clipbert_mmf.report.run_results import (
    RunResultError,
    count_parameters,
    read_final_metrics,
    read_step_seconds,
)


def write_lines(folder, lines):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_last_metrics_of_a_split_are_read(tmp_path):
    metrics = {"test/d/clipbert_answers/accuracy": 0.5}
    earlier = {"test/d/clipbert_answers/accuracy": 0.2}
    write_lines(
        tmp_path,
        [
            {"split": "test", "metrics": earlier},
            {"split": "test", "metrics": metrics},
            {"split": "val", "metrics": {"val/d/clipbert_answers/accuracy": 0.9}},
        ],
    )
    assert read_final_metrics(tmp_path, "test") == {"clipbert_answers/accuracy": 0.5}
    write_lines(tmp_path, [{"split": "train"}])
    with pytest.raises(RunResultError, match=r"metrics.jsonl has no metrics of 'test'; did the run finish"):
        read_final_metrics(tmp_path, "test")


def test_the_time_of_an_update_is_the_median(tmp_path):
    rates = (0.0, 1.0, 2.0, 4.0)
    write_lines(tmp_path, [{"split": "train", "updates_per_sec": rate} for rate in rates])
    assert read_step_seconds(tmp_path) == 0.5
    write_lines(tmp_path, [{"split": "val"}])
    with pytest.raises(RunResultError, match="no updates_per_sec"):
        read_step_seconds(tmp_path)


def test_parameters_are_counted_once_without_statistics(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(3, 4))
    network[2].weight = network[0].weight
    torch.save(network.state_dict(), tmp_path / "m.pth")
    assert count_parameters(tmp_path / "m.pth") == sum(p.numel() for p in network.parameters())
