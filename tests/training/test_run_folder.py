"""A run's folder belongs to one run, and evaluations of it go into folders of their own."""

import pytest

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.training.options import CheckpointOptions, ResetOptions
from clipbert_mmf.training.run_folder import (
    FolderUse,
    check_use,
    choose_evaluation_folder,
    clear_run,
    list_evaluation_folders,
)


def use(run_type="train_val", overwrite=False, predicts=False, **checkpoint):
    return FolderUse(run_type, "train" in run_type, predicts, overwrite, CheckpointOptions(**checkpoint))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models").mkdir()
    for name in ("best.ckpt", "current.ckpt", "clipbert_final.pth", "models/model_4.ckpt"):
        (tmp_path / name).write_bytes(b"state")
    (tmp_path / "metrics.jsonl").write_text("{}\n{}\n")
    (tmp_path / "config.yaml").write_text("model: clipbert\n")
    (tmp_path / "notes.txt").write_text("the user's own")
    return tmp_path


def test_a_second_run_is_refused_with_the_options_that_decide(folder):
    with pytest.raises(
        ConfigurationError,
        match=r"holds a run already: best.ckpt.*metrics.jsonl with 2 records.*checkpoint.resume=true.*"
        "env.overwrite=true.*another env.save_dir",
    ):
        check_use(folder, use())


def test_resuming_overwriting_and_an_empty_folder_are_allowed(folder, tmp_path_factory):
    check_use(folder, use(resume=True))
    check_use(folder, use(overwrite=True))
    check_use(folder, use("test"))
    empty = tmp_path_factory.mktemp("empty")
    (empty / "config.yaml").write_text("model: clipbert\n")  # a run that failed before it trained
    check_use(empty, use())
    check_use(empty / "missing", use())


def test_options_that_contradict_each_other_are_refused(folder):
    with pytest.raises(ConfigurationError, match="set one of them"):
        check_use(folder, use(resume=True, overwrite=True))
    with pytest.raises(ConfigurationError, match="checkpoint.reset.counts begins a new run"):
        check_use(folder, use(resume=True, reset=ResetOptions(counts=True)))
    check_use(folder, use(resume=True, overwrite=True, reset=ResetOptions(all=True)))


def test_an_evaluation_of_a_run_gets_a_folder_of_its_own_each_time(folder, tmp_path_factory):
    made = [choose_evaluation_folder(folder, use("test")) for _ in range(3)]
    made.append(choose_evaluation_folder(folder, use("val_test", predicts=True)))
    assert len(set(made)) == 4 and all(path.parent == folder and path.is_dir() for path in made)
    assert made[0].name.startswith("test-2") and made[3].name.startswith("predict-val-test-2")
    assert set(list_evaluation_folders(folder)) == set(made)
    empty = tmp_path_factory.mktemp("empty")
    assert choose_evaluation_folder(empty, use("test")) == empty


def test_overwriting_deletes_the_run_and_nothing_else(folder):
    evaluation = choose_evaluation_folder(folder, use("test"))
    clear_run(folder)
    assert not evaluation.exists()
    assert {path.name for path in folder.iterdir()} == {"models", "config.yaml", "notes.txt"}
    assert not list((folder / "models").iterdir())
