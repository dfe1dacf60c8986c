"""MMF's own trainers evaluate our tasks: the numbers, and their names, are those of ``training.trainer=clipbert``."""

import json

import pytest

from clipbert_mmf.host.mmf_version import mmf_version
from tests.e2e.running import SMALL, read_metrics, run_plan

OWN_TRAINER = {"release": "base_trainer", "main": "mmf"}[mmf_version()]
#: Dataset -> (folder of its corpus, its metric).
DATASETS = {
    "msrvtt_retrieval": ("msrvtt", "clipbert_retrieval"),
    "msrvtt_qa": ("msrvtt", "clipbert_answers"),
    "msrvtt_mc": ("msrvtt", "clipbert_answers"),
    "coco_captions_pretraining": ("coco", "clipbert_pretraining"),
}


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """Return the folder of one short run per dataset, and of its test and of another run by MMF's trainer."""
    folder = tmp_path_factory.mktemp("trainers")
    plan = {}
    for name, (files, _) in DATASETS.items():
        section = f"dataset_config.{name}"
        common = [
            f"config=projects/clipbert/configs/{name}/demo.yaml",
            "model=clipbert",
            f"dataset={name}",
            f"{section}.data_dir={corpus / files}",
            f"{section}.processors.text_processor.params.tokenizer={corpus / 'tokenizer'}",
            *SMALL,
        ]
        # Options are chosen by the head that retrieval trains.
        trained = f"{'msrvtt_retrieval' if name == 'msrvtt_mc' else name}.trained"
        if name != "msrvtt_mc":
            plan[trained] = [*common, f"env.save_dir={folder / trained}", "run_type=train"]
        weights = f"model_config.clipbert.weights.clipbert={folder / trained / 'clipbert_final.pth'}"
        for trainer in ("clipbert", OWN_TRAINER):
            run = f"{name}.{trainer}"
            # Batches of 3 leave a last one that is smaller.
            plan[run] = [*common, weights, "run_type=test", f"training.trainer={trainer}"]
            plan[run] += [f"env.save_dir={folder / run}", "training.batch_size=3"]
        if name == "msrvtt_retrieval":
            plan["own"] = [*common, f"env.save_dir={folder / 'own'}", "run_type=train_val"]
            plan["own"] += [f"training.trainer={OWN_TRAINER}", "training.tensorboard=true"]
            plan["old"] = [*common, f"env.save_dir={folder / 'old'}", f"training.trainer={OWN_TRAINER}"]
            plan["old"] += ["training.early_stop.criteria=val/msrvtt_retrieval/clipbert_t2v_r1"]
    return folder, run_plan("tasks_program.py", plan, folder)


def read_kept(folder, name):
    return json.loads((folder / f"plan.json.{name}.metrics").read_text())


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_mmfs_own_trainer_gives_the_same_numbers_by_the_same_names(runs, name):
    folder, codes = runs
    run = f"{name}.{OWN_TRAINER}"
    assert codes[run] == 0, (folder / f"plan.json.{run}.log").read_text()[-3000:]
    expected = read_metrics(folder / f"{name}.clipbert", "test")
    prefix = f"test/{name}/"
    found = {key.removeprefix(prefix): value for key, value in read_kept(folder, run).items()}
    assert found == pytest.approx(expected, rel=1e-6) and len(found) >= 5
    assert {key.split("/")[0] for key in found} == {DATASETS[name][1]}


def test_mmfs_own_early_stopping_log_and_tensorboard_know_the_names(runs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, codes = runs
    log = (folder / "plan.json.own.log").read_text()
    assert codes["own"] == 0, log[-3000:]
    criterion = "val/msrvtt_retrieval/clipbert_retrieval/t2v_mean_rank"
    assert f"best_{criterion}" in log and "val/msrvtt_retrieval/clipbert_retrieval/v2t_r10" in log
    written = set()
    for file in folder.glob("own/**/events.out.tfevents.*"):
        events = EventAccumulator(str(file))
        events.Reload()
        written |= set(events.Tags()["scalars"])
    assert criterion in written


def test_a_name_of_version_0_1_stops_the_run_with_the_new_one(runs):
    folder, codes = runs
    log = (folder / "plan.json.old.log").read_text()
    assert codes["old"] != 0
    assert "write 'val/msrvtt_retrieval/clipbert_retrieval/t2v_r1'" in log, log[-3000:]
