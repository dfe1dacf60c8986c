"""The end of a run: one table with intervals, or one sentence; the same from one process and from two."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from clipbert_mmf.cli.mmf_process import find_free_port
from clipbert_mmf.scoring.outcomes import load_outcomes
from clipbert_mmf.scoring.uncertainty import estimate_intervals
from tests.e2e.running import ROOT, make_environment, run_mmf, start_mmf
from tests.e2e.small_tasks import make_corpora, read_records, task_options

DATASET = "tgif_qa_action"
#: Warnings that a user of MMF cannot act on.
NOISE = ("grammar_visitor", "register_resolver", "epoch parameter", "FutureWarning", "DeprecationWarning")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Return the corpora, with a video of the test split that cannot be read."""
    folder = make_corpora(tmp_path_factory.mktemp("ends") / "corpora", "tgif_qa")
    rows = (folder / "tgif_qa" / "Test_action_question.csv").read_text().splitlines()
    key = rows[1].split("\t")[0]
    (video,) = [path for path in (folder / "tgif_qa").rglob(f"{key}.*") if path.suffix in (".gif", ".mp4")]
    video.write_bytes(video.read_bytes()[:100])
    return folder


@pytest.fixture(scope="module")
def own_metric(tmp_path_factory):
    """Return a package with the metric of ``docs/extending.md``."""
    page = (ROOT / "docs" / "extending.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def trace" in block]
    folder = tmp_path_factory.mktemp("own") / "own_metric"
    folder.mkdir()
    (folder / "__init__.py").write_text(code)
    return folder


@pytest.fixture(scope="module")
def run(corpora, own_metric, tmp_path_factory):
    """Train and test in one process; return the run's folder, what it printed, and its options."""
    folder = tmp_path_factory.mktemp("run") / "run"
    more = [f"env.user_dir={own_metric}", "evaluation.metrics=['clipbert_answers','lead']"]
    printed = run_mmf(task_options(corpora, DATASET, folder, "run_type=train_val_test", *more))
    return folder, printed, more


def test_a_run_ends_with_one_table(run):
    _, printed, _ = run
    assert printed.count("95% interval") == 1
    table = printed[re.search(r"^split +metric", printed, re.MULTILINE).start() :].splitlines()
    assert table[-1].startswith("intervals: bootstrap over videos or images")
    rows = [re.split(r"\s{2,}", line) for line in table[1:-1]]
    assert {row[0] for row in rows} == {"val", "test"} and ["val", "accuracy"] in [row[:2] for row in rows]
    (accuracy,) = [row for row in rows if row[:2] == ["test", "accuracy"]]
    assert (
        accuracy[2].endswith("%")
        and " to " in accuracy[3]
        and accuracy[4] == "20.0 %"
        and "tiny" in accuracy[-1]
    )
    assert any(row[1] == "lead of the best option" for row in rows)
    assert not [word for word in NOISE if word in printed] and printed.count("persistent_workers cannot") <= 1


def test_the_records_hold_the_table(run):
    folder, _, _ = run
    finals = [
        record for split in ("val", "test") for record in read_records(folder, split) if record.get("final")
    ]
    assert len(finals) == 2
    results = {one["metric"]: one for one in finals[1]["results"]}
    accuracy = results["clipbert_answers/accuracy"]
    assert accuracy["value"] == finals[1]["metrics"][f"test/{DATASET}/clipbert_answers/accuracy"]
    assert accuracy["chance"] == pytest.approx(1 / 5) and accuracy["unreadable"] >= 1 and accuracy["is_share"]
    assert accuracy["media"] == accuracy["items"] == 6 and "tiny" in accuracy["remark"]
    assert accuracy["interval"][0] <= accuracy["value"] <= accuracy["interval"][1]
    assert results["lead"]["interval"] and results["lead"]["title"] == "lead of the best option"
    outcomes = load_outcomes(folder / f"outcomes_test_{DATASET}.npz")
    interval = estimate_intervals(outcomes)[f"test/{DATASET}/clipbert_answers/accuracy"]
    assert [interval.low, interval.high] == pytest.approx(accuracy["interval"])


def test_two_processes_tell_the_same_intervals(run, corpora, tmp_path):
    folder, _, more = run
    start = f"model_config.clipbert.weights.clipbert={folder / 'clipbert_final.pth'}"
    run_mmf(task_options(corpora, DATASET, tmp_path / "two", "run_type=test", start, *more), world_size=2)
    ours, theirs = (read_records(path, "test")[-1]["results"] for path in (folder, tmp_path / "two"))
    assert [one["metric"] for one in theirs] == [one["metric"] for one in ours]
    for one, other in zip(ours, theirs, strict=True):
        assert other["interval"] == pytest.approx(one["interval"], abs=1e-5)
        assert {**other, "interval": 0, "value": 0} == {**one, "interval": 0, "value": 0}


def test_an_error_is_its_sentence_and_its_traceback_lies_in_the_log(corpora, tmp_path):
    start = "model_config.clipbert.weights.clipbert=/nowhere.ckpt"
    printed = run_mmf(task_options(corpora, DATASET, tmp_path, "run_type=test", start), fails=True)
    *_, place, sentence = printed.strip().splitlines()
    assert sentence == "mmf_run: model_config.clipbert.weights.clipbert is '/nowhere.ckpt': no such file"
    assert place == f"The traceback is in {tmp_path / 'train.log'}" and "Traceback" not in printed
    log = (tmp_path / "train.log").read_text()
    assert "Traceback (most recent call last)" in log and "in find_weights" in log


def test_an_error_before_the_configuration_is_read_lies_in_the_runs_folder_too(corpora, tmp_path):
    options = task_options(corpora, DATASET, tmp_path / "run", "training.max_updates=none_of_these")
    printed = run_mmf(options, fails=True)
    assert "training.max_updates is 'none_of_these'" in printed.strip().splitlines()[-1]
    assert "Traceback" not in printed and "Traceback" in (tmp_path / "run" / "train.log").read_text()


def test_two_processes_tell_an_error_once(corpora, tmp_path):
    start = "model_config.clipbert.weights.clipbert=/nowhere.ckpt"
    port = find_free_port()
    options = task_options(corpora, DATASET, tmp_path, "run_type=test", start)
    processes = [start_mmf(options, rank, 2, port) for rank in range(2)]
    outputs = [process.communicate(timeout=250)[0] for process in processes]
    assert all(process.returncode == 1 for process in processes)
    sentence = "\nmmf_run: model_config.clipbert.weights.clipbert is '/nowhere.ckpt': no such file"
    assert "".join(outputs).count(sentence) == 1 and "".join(outputs).count("/nowhere.ckpt': no such") == 1, (
        outputs
    )
    log = (tmp_path / "train.log").read_text()
    assert "process 0 ended" in log and "process 1 ended" in log


def test_mmf_predict_and_clipbert_end_with_the_sentence_too(corpora, tmp_path):
    program = "import sys; sys.argv[0] = 'mmf_predict'; from mmf_cli.predict import predict; predict()"
    start = "model_config.clipbert.weights.clipbert=/nowhere.ckpt"
    options = task_options(corpora, DATASET, tmp_path, "run_type=test", start)
    done = subprocess.run(
        [sys.executable, "-c", program, *options],
        cwd=ROOT,
        env=make_environment(),
        capture_output=True,
        text=True,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert last.endswith("is '/nowhere.ckpt': no such file") and last.startswith("mmf_")
    verb = [sys.executable, "-m", "clipbert_mmf.cli.main", "report", str(Path(tmp_path) / "nothing")]
    done = subprocess.run(verb, env=make_environment(), capture_output=True, text=True)
    assert (
        done.returncode == 1
        and done.stderr.strip() == f"clipbert report: run '{tmp_path / 'nothing'}': no such folder"
    )
