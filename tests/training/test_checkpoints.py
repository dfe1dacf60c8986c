"""A checkpoint is saved in one step, and the best state is the one that the record names."""

import pytest
import torch

from clipbert_mmf.training import checkpoints
from clipbert_mmf.training.options import CheckpointOptions, EarlyStopOptions
from tests.toy_runs import read_records
from tests.training.plain_host import Parts


def test_a_scaler_or_schedule_state_of_plain_values_is_told_from_one_with_objects():
    assert checkpoints.is_plain({"last_epoch": 3, "base_lrs": [0.1, None], "nested": {1: (True, "a")}})
    assert not checkpoints.is_plain({"config": object()})


def test_a_run_of_version_0_1_is_refused_before_anything_is_loaded(tmp_path):
    parts = Parts(tmp_path)
    parts.checkpointer.save()
    state = torch.load(tmp_path / "current.ckpt", weights_only=True)
    state[checkpoints.RUN_STATE]["version"] = 1
    torch.save(state, tmp_path / "current.ckpt")
    for resume in (
        lambda: checkpoints.find_stored_seed(CheckpointOptions(resume=True), tmp_path),
        lambda: parts.checkpointer.load(state, state["model"], "current.ckpt", weights_only=False),
    ):
        with pytest.raises(
            ValueError, match=r"current.ckpt is a run of clipbert_mmf 0.1 .*resume_pretrained=true"
        ):
            resume()
    parts.checkpointer.load(state, state["model"], "current.ckpt", weights_only=True)


def test_weights_that_do_not_fit_are_counted_and_named(tmp_path, caplog):
    parts = Parts(tmp_path)
    weights = {"layer.weight": torch.zeros(2, 2), "head.bias": torch.zeros(2)}
    parts.checkpointer.load({"model": weights}, weights, "old.ckpt", weights_only=True)
    assert (
        "1 weights of the model are not in it ['layer.bias'], 1 of its weights are not used ['head.bias']"
        in caplog.text
    )
    assert not parts.run.model.layer.weight.any() and parts.run.num_updates == 0


def test_an_optimizer_of_another_model_is_refused_with_what_to_set(tmp_path):
    parts = Parts(tmp_path)
    other = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).state_dict()
    with pytest.raises(
        ValueError, match=r"old.ckpt: its optimizer does not fit .*checkpoint.reset.optimizer=true"
    ):
        parts.checkpointer.load({"optimizer": other}, {}, "old.ckpt", weights_only=False)


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    (tmp_path / "models").mkdir()
    partial = tmp_path / "models" / "model_3.ckpt.part"
    partial.write_bytes(b"half")
    parts = Parts(tmp_path)
    assert partial.exists()  # another process may be writing it: only a run that trains removes it
    parts.checkpointer.begin()
    assert not partial.exists()


BEST = {"criteria": "points/accuracy", "minimize": False}


def make_run(folder, best_at=2):
    """Train for six updates; the validation after ``best_at`` is the best. Return the parts of the run that goes on."""
    parts = Parts(folder, max_updates=6, evaluation_interval=2, early_stop=EarlyStopOptions(**BEST))
    parts.host.compute_metrics = lambda report: {
        "val/points/accuracy": torch.tensor(float(parts.run.num_updates == best_at))
    }
    parts.loop.train()
    return parts


def resume_run(folder):
    parts = Parts(
        folder, resume=True, max_updates=6, evaluation_interval=2, early_stop=EarlyStopOptions(**BEST)
    )
    parts.run.loaded_file = folder / "current.ckpt"
    return parts


def read_update(path):
    return torch.load(path, weights_only=True)["num_updates"]


def test_the_best_state_is_named_before_the_run_says_that_it_is_the_best(tmp_path, monkeypatch):
    parts = Parts(tmp_path)
    seen = []
    give = checkpoints.give_second_name
    monkeypatch.setattr(
        checkpoints,
        "give_second_name",
        lambda source, target: (seen.append(target.name), give(source, target)),
    )
    parts.run.num_updates = 1
    parts.checkpointer.save(is_best=True, publish=lambda: seen.append("record"))
    assert seen == ["best.ckpt", "record", "current.ckpt"]
    assert (tmp_path / "best.ckpt").samefile(tmp_path / "models" / "model_1.ckpt")


@pytest.mark.parametrize("damage", ["missing", "older", "other weights", "cut off"])
def test_a_best_state_that_is_not_the_one_of_the_record_is_told_and_the_true_one_is_used(
    tmp_path, damage, caplog
):
    made = make_run(tmp_path)
    expected = torch.load(tmp_path / "best.ckpt", weights_only=True)["model"]
    damage_best(tmp_path, damage)
    parts = resume_run(tmp_path)
    parts.loop.train()
    assert (
        "the best state, of update 2, is taken from" in caplog.text
        and "best.ckpt is" in caplog.text.replace("best.ckpt has other weights", "best.ckpt is")
    )
    assert parts.run.restored_update == 2 == read_update(tmp_path / "best.ckpt")
    assert all(torch.equal(parts.run.model.state_dict()[name], value) for name, value in expected.items())
    assert made.run.restored_update == 2


def damage_best(folder, damage):
    best = folder / "best.ckpt"
    state = torch.load(best, weights_only=True)
    best.unlink()
    if damage == "older":
        state["num_updates"] = 1
    if damage == "other weights":
        state["model"]["layer.bias"] += 1
    if damage != "missing":
        torch.save(state, best)
    if damage == "cut off":
        best.write_bytes(best.read_bytes()[:-200])


@pytest.mark.parametrize("damage", ["missing", "older"])
def test_a_best_state_that_is_nowhere_starts_the_best_value_anew(tmp_path, damage, caplog):
    make_run(tmp_path)
    damage_best(tmp_path, damage)
    (tmp_path / "models" / "model_2.ckpt").unlink()
    parts = resume_run(tmp_path)
    parts.checkpointer.begin()
    assert "the best state of the run so far, of update 2, is gone" in caplog.text
    assert not parts.run.early_stopping.has_best


def test_last_weights_are_not_called_the_best_where_those_were_deleted_while_training(tmp_path, caplog):
    parts = make_run(tmp_path)
    parts.run.restored_update = None
    for path in (tmp_path / "best.ckpt", tmp_path / "models" / "model_2.ckpt"):
        path.unlink()
    parts.checkpointer.restore_best()
    assert "what follows is of the last one, of update 6" in caplog.text
    parts.evaluator.log("test", parts.evaluator.evaluate("test"), final=True)
    assert read_records(tmp_path)[-1]["update"] == 6


def test_a_run_that_goes_on_in_another_folder_takes_the_best_state_along(tmp_path):
    make_run(tmp_path / "old")
    state = torch.load(tmp_path / "old" / "models" / "model_4.ckpt", weights_only=True)
    parts = Parts(tmp_path / "new", max_updates=6, early_stop=EarlyStopOptions(**BEST))
    parts.run.loaded_file = tmp_path / "old" / "models" / "model_4.ckpt"
    parts.checkpointer.load(state, state["model"], "model_4.ckpt", weights_only=False)
    parts.checkpointer.begin()
    assert read_update(tmp_path / "new" / "best.ckpt") == 2
    assert not (tmp_path / "new" / "best.ckpt").samefile(tmp_path / "old" / "best.ckpt")


def test_a_run_that_goes_on_from_an_earlier_state_sets_later_ones_aside(tmp_path):
    make_run(tmp_path)
    state = torch.load(tmp_path / "models" / "model_2.ckpt", weights_only=True)
    parts = Parts(tmp_path, max_updates=6, early_stop=EarlyStopOptions(**BEST))
    parts.checkpointer.load(state, state["model"], "model_2.ckpt", weights_only=False)
    parts.checkpointer.begin()
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"model_2.ckpt", "superseded"}
    assert len(list((tmp_path / "models" / "superseded").iterdir())) == 2


def test_a_validation_without_a_record_is_done_again(tmp_path):
    make_run(tmp_path, best_at=6)
    metrics = tmp_path / "metrics.jsonl"
    lines = metrics.read_text().splitlines()
    metrics.write_text("".join(line + "\n" for line in lines if '"val", "update": 6' not in line))
    parts = resume_run(tmp_path)
    parts.loop.train()
    assert [r["update"] for r in read_records(tmp_path) if r["split"] == "val"] == [2, 4, 6]
    assert parts.run.restored_update == 6
