"""The registered trainer on a toy plugin, through MMF's command line; the same tests for both MMFs."""

import json
import math
from itertools import chain

import numpy as np
import pytest
import torch

pytest.importorskip("mmf")


from clipbert_mmf.training.loop import Loop
from tests.toy_runs import PLUGIN, losses_by_update, run_here, toy_options


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Twelve updates, saved after the fifth and tenth.

    Records and folder of the run the others are compared with.
    """
    folder = tmp_path_factory.mktemp("plain")
    options = [
        "training.checkpoint_interval=5",
        "checkpoint.max_to_keep=-1",
        "model_config.toy_mlp.dropout=0.5",
    ]
    records = run_here(folder, *options)
    return records, folder


def final(records, split="test"):
    return [record for record in records if record["split"] == split and record.get("final")]


def weights(folder):
    return torch.load(folder / "toy_mlp_final.pth")


def test_max_updates_is_exact_and_the_file_tells_everything(plain):
    records, folder = plain
    training = [record for record in records if record["split"] == "train"]
    assert [record["update"] for record in training] == list(range(1, 13))
    assert [record["epoch"] for record in training] == [1] * 8 + [2] * 4
    assert {"lr", "losses", "updates_per_sec", "data_wait", "eta_sec", "grad_norm"} <= set(training[0])
    assert 0 <= training[0]["data_wait"] <= 1
    assert set(final(records)[0]["metrics"]) == {"test/toy_points/accuracy"}
    assert set(final(records, "val")[0]["losses"]) == {"val/toy_points/toy_ce", "val/total_loss"}
    assert torch.load(folder / "current.ckpt", weights_only=True)["num_updates"] == 12


def test_the_rate_of_every_update_is_the_schedules(plain):
    from clipbert_mmf.optim.schedules import DECAYS, compute_warmup_factor

    rates = [record["lr"] for record in plain[0] if record["split"] == "train"]
    assert rates == pytest.approx(
        [0.05 * compute_warmup_factor(update, 12, 0.1, DECAYS["linear"]) for update in range(12)]
    )


@pytest.mark.parametrize("frequency", [2, 3, 5, 7])
def test_accumulation_is_right_at_the_end_of_an_epoch(tmp_path, frequency):
    """Eight batches of 4: the weights after an epoch equal those of plain torch on the joined batches."""
    options = [
        "training.max_epochs=1",
        f"training.update_frequency={frequency}",
        "optimizer.type=SGD",
        "run_type=train",
    ]
    records = run_here(tmp_path / "run", *options, "training.clip_gradients=false")
    updates = losses_by_update(records)
    assert len(updates) == math.ceil(8 / frequency)
    assert all(math.isfinite(loss) for loss in updates.values())

    expected = replay(tmp_path / "run", frequency)
    assert list(updates.values()) == pytest.approx(expected["losses"], abs=1e-6)
    trained = weights(tmp_path / "run")
    for key, value in expected["weights"].items():
        torch.testing.assert_close(trained[key], value, atol=1e-6, rtol=1e-5)


def replay(folder, frequency):
    """Train the toy model on the same items with one large batch per update, in plain torch."""
    from clipbert_mmf.optim.schedules import DECAYS, compute_warmup_factor
    from clipbert_mmf.training.data_order import ShardedBatches, split_into_updates
    from clipbert_mmf.training.seeding import seed_all

    seed_all(11, "model")
    layers = torch.nn.Sequential(
        torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Dropout(0.0), torch.nn.Linear(16, 4)
    )
    order = ShardedBatches(32, 4, True, 11, "toy_points", 0, 1)
    order.set_window(1, 0, 8)
    batches, losses = list(order), []
    updates = split_into_updates(8, frequency)
    for number, places in enumerate(updates):
        items = list(chain.from_iterable(batches[place] for place in places))
        points = np.stack([np.random.default_rng([7, 5, 1, item]).normal(size=2) for item in items])
        targets = torch.tensor((points[:, 0] > 0) + 2 * (points[:, 1] > 0), dtype=torch.int64)
        loss = torch.nn.functional.cross_entropy(layers(torch.tensor(points, dtype=torch.float32)), targets)
        layers.zero_grad()
        loss.backward()
        rate = 0.05 * compute_warmup_factor(number, len(updates), 0.1, DECAYS["linear"])
        with torch.no_grad():
            for parameter in layers.parameters():
                parameter -= rate * parameter.grad
        losses.append(loss.item())
    return {
        "losses": losses,
        "weights": {f"layers.{key}": value for key, value in layers.state_dict().items()},
    }


def test_max_epochs_wins_over_max_updates_and_counts_short_updates(tmp_path):
    records = run_here(
        tmp_path, "training.max_epochs=2", "training.max_updates=3", "training.update_frequency=3"
    )
    assert len(losses_by_update(records)) == 2 * 3
    assert [record["epoch"] for record in records if record["split"] == "train"] == [1, 1, 1, 2, 2, 2]


def test_a_run_resumed_from_any_checkpoint_is_the_run_that_was_never_stopped(plain, tmp_path):
    records, folder = plain
    options = ["model_config.toy_mlp.dropout=0.5", "checkpoint.resume=true", "training.checkpoint_interval=5"]
    (tmp_path / "current.ckpt").write_bytes((folder / "models" / "model_5.ckpt").read_bytes())
    (tmp_path / "metrics.jsonl").write_text((folder / "metrics.jsonl").read_text())
    resumed = run_here(tmp_path, *options)
    assert losses_by_update(resumed) == losses_by_update(records)
    assert [record["lr"] for record in resumed if "lr" in record] == [r["lr"] for r in records if "lr" in r]
    for key, value in weights(folder).items():
        assert torch.equal(weights(tmp_path)[key], value)


def test_a_resumed_run_keeps_the_seed_it_began_with(plain, tmp_path):
    (tmp_path / "current.ckpt").write_bytes((plain[1] / "models" / "model_5.ckpt").read_bytes())
    options = ["model_config.toy_mlp.dropout=0.5", "checkpoint.resume=true", "training.seed=99"]
    resumed = losses_by_update(run_here(tmp_path, *options))
    assert resumed == {update: loss for update, loss in losses_by_update(plain[0]).items() if update > 5}


def test_a_resumed_run_follows_its_new_settings_and_tells_them(plain, tmp_path, caplog):
    """A lower rate, more weight decay, another schedule and a longer run, from a checkpoint of the fifth update."""
    from clipbert_mmf.optim.schedules import DECAYS, compute_warmup_factor

    (tmp_path / "current.ckpt").write_bytes((plain[1] / "models" / "model_5.ckpt").read_bytes())
    options = [
        "optimizer.params.lr=0.002",
        "optimizer.params.weight_decay=0.3",
        "scheduler.type=clipbert_warmup_cosine",
        "scheduler.params.warmup_fraction=0.2",
        "training.max_updates=14",
    ]
    records = run_here(tmp_path, "model_config.toy_mlp.dropout=0.5", "checkpoint.resume=true", *options)
    rates = [record["lr"] for record in records if record["split"] == "train"]
    assert rates == pytest.approx(
        [0.002 * compute_warmup_factor(update, 14, 0.2, DECAYS["cosine"]) for update in range(5, 14)]
    )
    stored = torch.load(tmp_path / "current.ckpt", weights_only=True)
    assert {group["weight_decay"] for group in stored["optimizer"]["param_groups"]} == {0.3}
    assert stored["optimizer"]["state"][0]["step"] == 14
    assert stored["config"]["optimizer"]["params"]["lr"] == 0.002


@pytest.mark.parametrize("reset, steps, updates", [("optimizer", 7, 12), ("counts", 17, 12), ("all", 12, 12)])
def test_what_is_reset_begins_anew(plain, tmp_path, reset, steps, updates):
    options = [
        f"checkpoint.resume_file={plain[1] / 'models' / 'model_5.ckpt'}",
        f"checkpoint.reset.{reset}=true",
    ]
    records = run_here(tmp_path, "model_config.toy_mlp.dropout=0.5", *options)
    stored = torch.load(tmp_path / "current.ckpt", weights_only=True)
    assert (stored["optimizer"]["state"][0]["step"], stored["num_updates"]) == (steps, updates)
    first = 6 if reset == "optimizer" else 1
    assert [record["update"] for record in records if record["split"] == "train"] == list(range(first, 13))


def test_another_optimizer_cannot_take_over_the_state(plain, tmp_path):
    options = [f"checkpoint.resume_file={plain[1] / 'models' / 'model_5.ckpt'}", "optimizer.type=SGD"]
    with pytest.raises(ValueError, match=r"optimizer.type is SGD.*checkpoint.reset.optimizer=true"):
        run_here(tmp_path / "refused", *options)
    run_here(tmp_path / "anew", *options, "checkpoint.reset.optimizer=true")


def test_losses_between_two_lines_are_not_lost_when_a_run_is_resumed(plain, tmp_path):
    options = [
        "model_config.toy_mlp.dropout=0.5",
        "training.checkpoint_interval=5",
        "training.log_interval=3",
    ]
    whole = losses_by_update(run_here(tmp_path / "whole", *options, "checkpoint.max_to_keep=-1"))
    single = losses_by_update(plain[0])
    assert whole[6] == pytest.approx((single[4] + single[5] + single[6]) / 3)
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "current.ckpt").write_bytes(
        (tmp_path / "whole" / "models" / "model_5.ckpt").read_bytes()
    )
    part = losses_by_update(run_here(tmp_path / "part", *options, "checkpoint.resume=true"))
    assert part == {update: loss for update, loss in whole.items() if update > 5}


def test_the_best_value_and_its_update_survive_a_resume(tmp_path, monkeypatch):
    options = [
        "training.evaluation_interval=2",
        "training.early_stop.criteria=total_loss",
        "training.early_stop.minimize=true",
    ]
    run_here(tmp_path, *options, "training.max_updates=6")
    state = torch.load(tmp_path / "current.ckpt", weights_only=True)
    assert state["best_update"] > 0 and state["num_updates"] == 6
    seen = {}
    train = Loop.train

    def watch(loop):
        best = loop.run.early_stopping
        seen.update(update=best.best_monitored_update, value=best.best_monitored_value)
        train(loop)

    monkeypatch.setattr(Loop, "train", watch)
    run_here(tmp_path, *options, "training.max_updates=8", "checkpoint.resume=true")
    assert seen == {"update": state["best_update"], "value": state["best_metric_value"]}


def test_a_run_of_version_0_1_is_refused_in_one_sentence_and_its_weights_start_a_new_one(plain, tmp_path):
    state = torch.load(plain[1] / "current.ckpt", weights_only=True)
    state["clipbert_run"]["version"] = 1
    torch.save(state, tmp_path / "current.ckpt")
    with pytest.raises(
        ValueError, match=r"current.ckpt is a run of clipbert_mmf 0.1 .*resume_pretrained=true"
    ):
        run_here(tmp_path, "checkpoint.resume=true")
    old = f"checkpoint.resume_file={tmp_path / 'current.ckpt'}"
    records = run_here(tmp_path / "new", old, "checkpoint.resume_pretrained=true", "training.max_updates=2")
    assert list(losses_by_update(records)) == [1, 2]


def test_weights_of_another_run_start_a_new_one(plain, tmp_path):
    records, folder = plain
    records = run_here(
        tmp_path,
        f"checkpoint.resume_file={folder / 'current.ckpt'}",
        "checkpoint.resume_pretrained=true",
        "training.max_updates=2",
    )
    assert list(losses_by_update(records)) == [1, 2]
    assert losses_by_update(records)[1] < losses_by_update(plain[0])[1]


def test_weights_of_another_shape_start_no_new_run_and_say_how_parts_of_them_do(plain, tmp_path):
    state = torch.load(plain[1] / "current.ckpt", weights_only=True)
    state["model"]["layers.3.weight"] = torch.zeros(5, 16)
    torch.save(state, tmp_path / "other.ckpt")
    given = [f"checkpoint.resume_file={tmp_path / 'other.ckpt'}", "checkpoint.resume_pretrained=true"]
    with pytest.raises(
        ValueError, match=r"layers.3.weight is \(5, 16\) there and \(4, 16\) in the model; .*mapping"
    ):
        run_here(tmp_path / "new", *given)


def test_a_finished_run_started_again_only_evaluates(plain, tmp_path):
    records, folder = plain
    (tmp_path / "current.ckpt").write_bytes((folder / "current.ckpt").read_bytes())
    again = run_here(tmp_path, "checkpoint.resume=true", "run_type=train_test")
    assert losses_by_update(again) == {}
    assert final(again)[0]["metrics"] == final(records)[0]["metrics"]


def test_early_stopping_ends_the_run_and_the_best_state_is_evaluated(tmp_path):
    records = run_here(
        tmp_path,
        "training.evaluation_interval=1",
        "training.early_stop.enabled=true",
        "training.early_stop.patience=2",
        "training.early_stop.criteria=toy_points/accuracy",
        "optimizer.params.lr=0.0",
        "training.max_updates=50",
    )
    assert max(losses_by_update(records)) == 4  # the first is the best, then three without a better one
    assert final(records)[0]["update"] == 1


def test_a_criterion_that_validation_does_not_measure_is_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"criteria is 'val/toy_retrieval/r1', but validation gave .*toy_points/accuracy"
    ):
        run_here(tmp_path, "training.max_updates=1", "training.early_stop.criteria=toy_retrieval/r1")


@pytest.mark.parametrize("precision, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_holds_in_training_evaluation_and_prediction(tmp_path, precision, dtype):
    from mmf.common.registry import registry

    run_here(tmp_path, f"training.precision={precision}", "training.max_updates=2")
    assert registry.get("toy_dtype_training") == registry.get("toy_dtype_evaluation") == dtype
    registry.register("toy_dtype_evaluation", None)
    run_here(
        tmp_path,
        f"training.precision={precision}",
        "run_type=test",
        "evaluation.predict=true",
        "checkpoint.resume=true",
        predict=True,
    )
    assert registry.get("toy_dtype_evaluation") == dtype


@pytest.mark.parametrize(
    "option, message",
    [
        ("training.precision=fp16", "fp16 needs a CUDA device.*use bf16 or fp32"),
        ("training.precision=half", "training.precision is 'half'; allowed are fp32, tf32, bf16, fp16"),
        ("training.update_frequency=0", "training.update_frequency is 0; expected at least 1"),
        ("training.fp16=true", "training.fp16=true contradicts training.precision=fp32"),
        ("training.prefetch_factor=0", "training.prefetch_factor is 0; expected at least 1"),
        (
            "training.sharding=ful",
            r"training.sharding is 'ful' \(did you mean 'full'\?\); allowed are none, opt",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_before_training(tmp_path, option, message):
    with pytest.raises(ValueError, match=message):
        run_here(tmp_path, option, "training.device=cpu")


def test_predictions_come_one_per_item_in_order(tmp_path):
    run_here(tmp_path, "run_type=test", "evaluation.predict=true", f"env.report_dir={tmp_path}", predict=True)
    (report,) = tmp_path.glob("toy_points*test*.json")
    assert [row["item"] for row in json.loads(report.read_text())] == list(range(7))


def test_a_loss_that_is_no_number_ends_the_run_with_the_place(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_NAN_AT", "3")
    with pytest.raises(RuntimeError, match=r"not a finite number after update 3 .*toy_ce': nan"):
        run_here(tmp_path)


def test_anomaly_mode_is_off_unless_asked_for(tmp_path):
    torch.autograd.set_detect_anomaly(True)
    run_here(tmp_path, "training.max_updates=1", "run_type=train")
    assert not torch.is_anomaly_enabled()


def test_two_datasets_are_read_to_their_ends_every_epoch_and_evaluated_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_READ_LOG", str(tmp_path / "read.txt"))
    records = run_here(
        tmp_path,
        "dataset=toy_points,toy_spots",
        "training.max_epochs=2",
        "dataset_config.toy_spots.num_train=12",
        "run_type=train_test",
    )
    assert len(losses_by_update(records)) == 2 * (8 + 3)
    read = (tmp_path / "read.txt").read_text().split("\n")
    assert sorted(read).count("1 5") == 2 and sorted(read).count("2 20") == 1
    assert {"test/toy_points/accuracy", "test/toy_spots/accuracy"} == set(final(records)[0]["metrics"])


def test_datasets_come_in_the_configured_proportions_for_whole_epochs(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_READ_LOG", str(tmp_path / "read.txt"))
    mixed = tmp_path / "mixed.yaml"
    mixed.write_text(
        json.dumps(
            {
                "includes": [str(PLUGIN / "configs" / "run.yaml")],
                "multitasking": {
                    "type": "ratios",
                    "params": {"sampling_ratios": {"toy_spots": 0, "toy_points": 1}, "start_idx": 0},
                },
            }
        )
    )
    records = run_here(
        tmp_path,
        f"config={mixed}",
        "dataset=toy_points,toy_spots",
        "training.max_epochs=1",
        "dataset_config.toy_spots.num_train=12",
        "run_type=train_test",
    )
    # Eleven batches of the first alone, which starts again after its eight; the second is tested all the
    # same.
    assert len(losses_by_update(records)) == 8 + 3
    read = (tmp_path / "read.txt").read_text().splitlines()
    assert len(read) == 44 and set(read) == {f"1 {item}" for item in range(32)}
    assert {"test/toy_points/accuracy", "test/toy_spots/accuracy"} == set(final(records)[0]["metrics"])


def test_workers_see_every_epoch_and_change_nothing(tmp_path, plain):
    records = run_here(
        tmp_path, "model_config.toy_mlp.dropout=0.5", "run_type=train", "training.num_workers=1"
    )
    assert losses_by_update(records) == losses_by_update(plain[0])


def test_only_so_many_checkpoints_are_kept(tmp_path):
    run_here(tmp_path, "training.checkpoint_interval=2", "checkpoint.max_to_keep=3", "run_type=train")
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        "model_10.ckpt",
        "model_12.ckpt",
        "model_8.ckpt",
    ]


def test_mmfs_own_trainer_runs_the_same_configuration(tmp_path):
    from mmf_cli.run import run

    from clipbert_mmf.host.mmf_version import mmf_version

    own = "mmf" if mmf_version() == "main" else "base_trainer"
    run(
        toy_options(
            tmp_path, f"training.trainer={own}", "training.max_updates=4", "training.evaluation_interval=2"
        )
    )
    assert (tmp_path / "best.ckpt").exists() and not (tmp_path / "metrics.jsonl").exists()


def test_a_checkpoint_of_mmfs_own_trainer_is_continued(tmp_path):
    from mmf_cli.run import run

    from clipbert_mmf.host.mmf_version import mmf_version

    own = "mmf" if mmf_version() == "main" else "base_trainer"
    run(
        toy_options(
            tmp_path,
            f"training.trainer={own}",
            "training.max_updates=4",
            "training.checkpoint_interval=4",
            "run_type=train",
        )
    )
    done = torch.load(tmp_path / "current.ckpt", weights_only=True)["num_updates"]
    records = run_here(tmp_path, "checkpoint.resume=true", "run_type=train")
    assert list(losses_by_update(records)) == list(range(done + 1, 13))
    assert [r["lr"] for r in records if "lr" in r][-1] == pytest.approx(0.05 / 12)


def test_numbers_reach_tensorboard(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logs = f"env.tensorboard_logdir={tmp_path / 'logs'}"
    run_here(tmp_path, "training.max_updates=2", "training.tensorboard=true", "run_type=train_val", logs)
    (folder,) = (tmp_path / "logs").glob("tensorboard_*")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/total_loss", "lr", "data_wait", "val/total_loss", "val/toy_points/accuracy"} <= tags
