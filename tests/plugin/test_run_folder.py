"""A run's folder through MMF's command line: second runs, evaluations, damage, another process."""

import subprocess

import pytest
import torch

pytest.importorskip("mmf")

from clipbert_mmf.inference.settings import read_run_records, read_yaml
from clipbert_mmf.training.run_folder import list_evaluation_folders
from tests.toy_runs import losses_by_update, read_records, run_here, start
from tests.training.test_run_lock import start_holder

SHORT = ["training.max_updates=4", "training.checkpoint_interval=2", "checkpoint.max_to_keep=-1"]


def read_all(folder):
    """Return every file of a folder with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    run_here(folder, *SHORT, "run_type=train_val")
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the trained run's folder."""
    target = tmp_path / "run"
    subprocess.run(["cp", "-a", str(trained), str(target)], check=True)
    return target


def test_a_second_run_is_refused_and_nothing_is_written(folder):
    before = read_all(folder)
    with pytest.raises(
        ValueError, match=r"holds a run already: .*checkpoint.resume=true.*env.overwrite=true"
    ):
        run_here(folder, *SHORT)
    assert read_all(folder) == before


def test_the_command_line_ends_with_the_sentence_and_writes_nothing_either(folder):
    before = read_all(folder)
    process = start(folder, *SHORT)
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 1 and "holds a run already" in output.splitlines()[-1]
    assert read_all(folder) == before


@pytest.mark.parametrize("run_type", ["train", "test"])
def test_a_folder_that_cannot_be_made_is_named_with_its_key(run_type, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match=r"env.save_dir=.*/file cannot be written: File exists.*another folder"
    ):
        run_here(tmp_path / "file", *SHORT, f"run_type={run_type}")


def test_overwriting_deletes_the_old_run_when_the_new_one_begins_and_not_before(folder):
    before = read_all(folder)
    with pytest.raises(ValueError, match="update_frequency is 0"):
        run_here(folder, *SHORT, "env.overwrite=true", "training.update_frequency=0")
    kept = read_all(folder)
    assert all(kept[path] == data for path, data in before.items() if path.suffix != ".log")
    records = run_here(folder, "training.max_updates=3", "run_type=train", "env.overwrite=true")
    assert list(losses_by_update(records)) == [1, 2, 3]
    assert {path.name for path in (folder / "models").iterdir()} == {"model_3.ckpt"}
    # Who trains with this configuration does not delete a run with it.
    assert read_yaml(folder / "config.yaml")["env"]["overwrite"] is False


def test_evaluations_and_predictions_change_nothing_of_the_run_and_are_found(folder):
    before = read_all(folder)
    run_here(folder, "run_type=test", "checkpoint.resume=true", "training.batch_size=8")
    run_here(folder, "run_type=val_test", "checkpoint.resume=true")
    run_here(folder, "run_type=test", "checkpoint.resume=true", "evaluation.predict=true", predict=True)
    after = read_all(folder)
    assert {path: after[path] for path in before} == before
    first, second, third = list_evaluation_folders(folder)
    assert [path.name.rpartition("-20")[0] for path in (first, second, third)] == [
        "test",
        "val-test",
        "predict-test",
    ]
    assert [record["split"] for record in read_records(second)] == ["val", "test"]
    assert read_records(first)[0]["metrics"] == read_records(second)[1]["metrics"]
    assert read_yaml(first / "config.yaml")["training"]["batch_size"] == 8 and not (first / "models").exists()
    assert list(third.rglob("toy_points_*.json"))
    assert [record["split"] for record in read_run_records(folder)][-3:] == ["test", "val", "test"]


def test_an_evaluation_of_other_weights_is_no_result_of_the_run(folder, tmp_path):
    other = tmp_path / "elsewhere.ckpt"
    other.write_bytes((folder / "current.ckpt").read_bytes())
    run_here(folder, "run_type=test", f"checkpoint.resume_file={other}")
    assert len(list_evaluation_folders(folder)) == 1
    assert read_run_records(folder) == read_records(folder)


def test_a_test_while_the_run_trains_leaves_its_half_written_files(folder):
    partial = folder / "current.ckpt.part"
    partial.write_bytes(b"half")
    run_here(folder, "run_type=test", "checkpoint.resume=true")
    assert partial.exists()
    run_here(folder, *SHORT, "training.max_updates=5", "checkpoint.resume=true")
    assert not partial.exists() and not (folder / "run.lock").exists()


def test_a_folder_in_which_another_process_trains_is_refused_with_its_number(folder):
    process, before = start_holder(folder), read_all(folder)
    with pytest.raises(ValueError, match=f"is in use: process {process.pid} on"):
        run_here(folder, *SHORT, "checkpoint.resume=true")
    assert read_all(folder) == before
    process.kill()
    process.wait()
    run_here(folder, *SHORT, "checkpoint.resume=true")


@pytest.mark.parametrize("data", [b"", b"no checkpoint", None])
def test_a_damaged_current_checkpoint_is_named_and_what_is_offered_goes_on(folder, data):
    current = folder / "current.ckpt"
    size = current.stat().st_size
    current.unlink()
    current.write_bytes(
        (folder / "models" / "model_4.ckpt").read_bytes()[: size // 2] if data is None else data
    )
    for name in ("best.ckpt", "models/model_4.ckpt"):
        (folder / name).unlink()
    before = read_all(folder)
    offered = f"checkpoint.resume_file={folder / 'models' / 'model_2.ckpt'}"
    with pytest.raises(ValueError, match=f"current.ckpt is damaged: .*of update 2: .*{offered}"):
        run_here(folder, *SHORT, "checkpoint.resume=true")
    assert read_all(folder) == before
    expected = losses_by_update(read_records(folder))
    assert losses_by_update(run_here(folder, *SHORT, "checkpoint.resume=true", offered)) == expected
    assert torch.load(current, weights_only=True)["num_updates"] == 4


def test_mmfs_own_trainer_goes_on_in_the_folder_without_spoiling_shared_bytes(folder):
    from clipbert_mmf.host.mmf_version import mmf_version

    own = {"release": "base_trainer", "main": "mmf"}[mmf_version()]
    process = start(folder, "training.trainer=" + own, "run_type=train", "checkpoint.resume=true")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output[-3000:]
    assert torch.load(folder / "models" / "model_4.ckpt", weights_only=True)["num_updates"] == 4
