"""The folder of a run of the shipped model: a test in it, a second run, and a kill, through MMF's command line."""

import pytest

from clipbert_mmf.report.run_record import read_run_record
from clipbert_mmf.training.run_folder import list_evaluation_folders
from tests.e2e.running import run_mmf
from tests.e2e.small_tasks import make_corpora, read_records, task_options


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    return make_corpora(tmp_path_factory.mktemp("corpora"), "msrvtt")


def read_all(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_test_and_a_refused_run_change_nothing_and_the_report_finds_the_test(corpora, tmp_path):
    def options(*more):
        return task_options(corpora, "msrvtt_qa", tmp_path / "run", "training.max_updates=2", *more)

    folder = tmp_path / "run"
    run_mmf(options("run_type=train_val"))
    before = read_all(folder)
    assert "holds a run already" in run_mmf(options("run_type=train_val"), fails=True)
    assert read_all(folder) == before
    run_mmf(options("run_type=test", "checkpoint.resume=true", "checkpoint.resume_best=true"))
    after = read_all(folder)
    assert {path: after[path] for path in before} == before
    (evaluation,) = list_evaluation_folders(folder)
    (record,) = read_records(evaluation, "test")
    assert read_run_record(folder).read_metrics("test")["clipbert_answers/accuracy"] == pytest.approx(
        record["metrics"]["test/msrvtt_qa/clipbert_answers/accuracy"]
    )
    run_mmf(options("run_type=train", "checkpoint.resume=true", "training.max_updates=3"))
    assert [record["update"] for record in read_records(folder, "train")] == [1, 2, 3]
    run_mmf(options("run_type=train", "env.overwrite=true", "training.max_updates=1"))
    assert [record["update"] for record in read_records(folder, "train")] == [1]
    assert not list_evaluation_folders(folder)
