"""A test tests the trained model: its answers, tokenizer and preprocessing, and never random weights."""

import json
import shutil

import pytest
import torch

from clipbert_mmf.host.mmf_version import mmf_version
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import RecipeError
from clipbert_mmf.tasks import TASKS
from clipbert_mmf.weights.trained_with import KEY, read_trained_with
from tests.e2e.running import run_plan
from tests.e2e.small_tasks import make_corpora, read_predictions, read_records, task_options

DATASET, OTHER = "msrvtt_qa", "vqa2_pixels"
SECTION, MODEL = f"dataset_config.{DATASET}", "model_config.clipbert"
TOKENIZER = f"{SECTION}.processors.text_processor.params.tokenizer"
IMAGE_SIZE = f"{SECTION}.processors.eval_media_processor.params.image_size"
SEVERAL = ("msrvtt_retrieval", DATASET, "msrvtt_mc")
OWN_TRAINER = {"release": "base_trainer", "main": "mmf"}[mmf_version()]


def several_options(corpora, save_dir, *options):
    """Return the command line of a run over three datasets, each with a head of its own."""
    common = task_options(corpora, DATASET, save_dir, "training.max_epochs=null")[3:]
    for name in SEVERAL:
        common.append(f"dataset_config.{name}.data_dir={corpora / 'msrvtt'}")
        tokenizer = f"dataset_config.{name}.processors.text_processor.params.tokenizer"
        common.append(f"{tokenizer}={corpora / 'tokenizer'}")
    config = "config=projects/clipbert/configs/multitask/demo.yaml"
    return [config, "model=clipbert", f"dataset={','.join(SEVERAL)}", *common, *options]


def write_variants(folder, run):
    """Write files of weights that are not quite the run's."""
    state = torch.load(run / "best.ckpt", weights_only=True)
    weights = dict(state["model"])
    shutil.copytree(run, folder / "old")  # a run of before, whose checkpoint says nothing
    torch.save(
        {**{k: v for k, v in state.items() if k != KEY}, "model": weights}, folder / "old" / "best.ckpt"
    )
    torch.save({"model": {k: v for k, v in weights.items() if "head" not in k}}, folder / "part.ckpt")
    torch.save({"model": {**weights, "ema.x": torch.zeros(2)}}, folder / "more.ckpt")
    renamed = {f"module.net.{name.removeprefix('network.')}": value for name, value in weights.items()}
    torch.save({"state_dict": renamed}, folder / "renamed.ckpt")
    (folder / "text.ckpt").write_text("no checkpoint")


def change_surroundings(corpora, folder):
    """Move the data, add rows and answers to one training table, lose the other, and replace the tokenizer in place."""
    for name in ("grown", "lost"):
        shutil.copytree(corpora / "msrvtt", folder / name / "msrvtt")
    table = folder / "grown" / "msrvtt" / "train_qa.json"
    rows = json.loads(table.read_text())
    more = [{**row, "id": 90_000 + n, "answer": "aaa"} for n, row in enumerate(rows)]
    table.write_text(json.dumps(more + rows))
    (folder / "lost" / "msrvtt" / "train_qa.json").unlink()
    shutil.copytree(corpora / "tokenizer", folder / "same")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (corpora / "tokenizer" / name).unlink(missing_ok=True)
    words = (corpora / "tokenizer" / "vocab.txt").read_text().splitlines()
    (corpora / "tokenizer" / "vocab.txt").write_text("\n".join(words[:5] + words[:4:-1]) + "\n")
    shutil.copytree(corpora / "tokenizer", folder / "other")
    (folder / "answers.json").write_text('["no", "yes"]')


OWN = f"training.trainer={OWN_TRAINER}"


def start(file):
    return f"{MODEL}.weights.clipbert={file}"


def resume(file):
    return f"checkpoint.resume_file={file}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of three trained models, around which everything has changed since."""
    folder = tmp_path_factory.mktemp("trained")
    corpora = make_corpora(folder / "corpora", "msrvtt", "vqa2")
    run = folder / "run"
    plan = {
        "run": task_options(corpora, DATASET, run, "run_type=train_val_test", f"{IMAGE_SIZE}=48"),
        "own": task_options(corpora, DATASET, folder / "own", "run_type=train_val_test", OWN),
        "several": several_options(corpora, folder / "several", "run_type=train_val_test"),
    }
    codes = run_plan("tasks_program.py", plan, folder)
    assert codes == dict.fromkeys(plan, 0), (folder / "plan.json.run.log").read_text()[-4000:]
    (folder / "answers_before.json").write_bytes((run / f"answers_{DATASET}.json").read_bytes())
    answers = json.loads((run / f"answers_{DATASET}.json").read_text())
    last = len(answers) - 1
    (folder / "reversed.json").write_text(
        json.dumps({answer: last - place for answer, place in answers.items()})
    )
    write_variants(folder, run)
    change_surroundings(corpora, folder)
    return folder


def run_tests(folder, tests):
    """Return the exit codes of runs that test, by name."""
    plan = {
        name: task_options(folder / "corpora", DATASET, folder / name, "run_type=test", *options)
        for name, options in tests.items()
    }
    return run_plan("tasks_program.py", plan, folder)


@pytest.fixture(scope="module")
def runs(trained):
    """Return the folder of all runs, and their exit codes; ``plan.json.<run>.log`` is what each printed."""
    folder, run = trained, trained / "run"
    best, final, same = run / "best.ckpt", run / "clipbert_final.pth", f"{TOKENIZER}={folder / 'same'}"
    grown, lost = (f"{SECTION}.data_dir={folder / name / 'msrvtt'}" for name in ("grown", "lost"))
    tests = {
        "grown": [start(best), grown],
        "lost": [start(final), lost],
        "resumed": [resume(best), grown, "checkpoint.resume_pretrained=true"],
        "in_place": ["checkpoint.resume_best=true", grown, f"env.save_dir={run}"],
        "own_trainer": [resume(best), grown, OWN],
        "of_own": [start(folder / "own" / "current.ckpt"), grown],
        "of_several": [resume(folder / "several" / "best.ckpt"), grown],
        "old": [start(folder / "old" / "best.ckpt"), grown, same, f"{IMAGE_SIZE}=48"],
        "renamed": [
            resume(folder / "renamed.ckpt"),
            same,
            f"{IMAGE_SIZE}=48",
            f"{SECTION}.answers.file={run / f'answers_{DATASET}.json'}",
        ],
        "random": [f"{MODEL}.weights.allow_random=true", same],
    }
    codes = run_tests(folder, tests)
    corpora = folder / "corpora"
    # ``mmf_predict`` does not train, though its ``run_type`` does by default.
    plan = {
        "mmf.predicted": task_options(corpora, DATASET, folder / "mmf", start(best), grown),
        "none.predicted": task_options(corpora, DATASET, folder / "none", same),
        "other": task_options(corpora, OTHER, folder / "other_run", "run_type=train", start(best)),
    }
    anew = [
        "run_type=train",
        grown,
        f"{SECTION}.answers.file={folder / 'reversed.json'}",
        "training.max_updates=1",
    ]
    anew += ["optimizer.params.lr=0"]
    plan["anew"] = task_options(corpora, DATASET, folder / "anew", *anew, start(best))
    resumed = [resume(best), "checkpoint.resume_pretrained=true", same]
    plan["anew_resumed"] = task_options(corpora, DATASET, folder / "anew_resumed", *anew, *resumed)
    return folder, {**codes, **run_plan("tasks_program.py", plan, folder)}


@pytest.fixture(scope="module")
def errors(trained):
    """Return what ``runs`` returns, of runs that must fail."""
    folder, best = trained, trained / "run" / "best.ckpt"
    same = f"{TOKENIZER}={folder / 'same'}"
    tests = {
        "no_weights": [same],
        "no_weights_own": [same, OWN],
        "no_run": ["checkpoint.resume=true", same],
        "no_best": ["checkpoint.resume_best=true"],
        "a_folder": [resume(folder / "run")],
        "no_checkpoint": [resume(folder / "text.ckpt")],
        "part": [start(folder / "part.ckpt"), same],
        "part_own": [resume(folder / "part.ckpt"), same, OWN],
        "more": [resume(folder / "more.ckpt"), same],
        "depth": [start(best), f"{MODEL}.transformer.num_layers=1"],
        "depth_untold": [resume(folder / "renamed.ckpt"), same, f"{MODEL}.transformer.num_layers=1"],
        "heads": [start(best), f"{MODEL}.transformer.num_heads=1"],
        "outputs": [start(best), f"{MODEL}.head.num_answers=2"],
        "answers": [start(best), f"{SECTION}.answers.file={folder / 'answers.json'}"],
        "fewer": [start(best), f"{SECTION}.answers.num_answers=2"],
        "tokenizer": [start(best), f"{TOKENIZER}={folder / 'other'}"],
        "words": [f"{MODEL}.weights.allow_random=true", f"{MODEL}.transformer.vocab_size=100", same],
    }
    return folder, run_tests(folder, tests)


def read_log(runs, name):
    return (runs[0] / f"plan.json.{name}.log").read_text()


def read_test(runs, name):
    """Return losses and metrics of a run's last test."""
    folder = runs[0] / name
    record = read_records(folder, "test")[-1]
    return record["losses"], record["metrics"]


@pytest.mark.parametrize("name", ["grown", "lost", "resumed", "old", "renamed"])
def test_other_tables_and_a_replaced_tokenizer_change_nothing(runs, name):
    assert runs[1][name] == 0, read_log(runs, name)[-3000:]
    expected, found = read_test(runs, "run"), read_test(runs, name)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1] == pytest.approx(expected[1], rel=1e-5)


def test_a_test_says_in_one_line_what_of_the_checkpoint_it_uses(runs):
    (line,) = [line for line in read_log(runs, "grown").splitlines() if "are used" in line]
    assert f"answers, tokenizer and preprocessing of {runs[0] / 'run' / 'best.ckpt'} are used" in line
    assert "holds another tokenizer now" in line and "image_size=48, not 64" in line
    assert f"it has no {KEY}" in read_log(runs, "renamed")
    assert f"the answers are those of {runs[0] / 'old' / f'answers_{DATASET}.json'}" in read_log(runs, "old")


@pytest.mark.parametrize("name", ["anew", "anew_resumed"])
def test_a_new_run_keeps_what_was_learned_of_each_answer_under_its_new_number(runs, name):
    folder, codes = runs
    assert codes[name] == 0, read_log(runs, name)[-3000:]
    best, after = (
        torch.load(folder / file, weights_only=True)["model"]["network.head.output.weight"]
        for file in ("run/best.ckpt", f"{name}/current.ckpt")
    )
    assert torch.equal(after, best.flip(0))
    log = read_log(runs, name)
    assert f"{len(best)} of {len(best)} answers keep what" in log
    assert ("was trained with another tokenizer" in log) == (name == "anew")


def test_a_test_in_the_run_leaves_its_answers(runs):
    folder, codes = runs
    assert codes["in_place"] == 0, read_log(runs, "in_place")[-3000:]
    assert (folder / "run" / f"answers_{DATASET}.json").read_bytes() == (
        folder / "answers_before.json"
    ).read_bytes()
    for name in ("grown", "lost", "old"):
        assert not list((folder / name).glob("answers_*.json")) or name == "old"


def test_mmf_predict_uses_them_too_and_needs_weights(runs):
    assert runs[1]["mmf.predicted"] == 0, read_log(runs, "mmf.predicted")[-3000:]
    records = read_predictions(runs[0] / "mmf", DATASET)
    answers = set(json.loads((runs[0] / "answers_before.json").read_text()))
    assert {answer["answer"] for record in records for answer in record["answers"]} <= answers
    right = TASKS["open_ended"].judge(records)["clipbert_answers/accuracy"]
    expected = read_test(runs, "run")[1][f"test/{DATASET}/clipbert_answers/accuracy"]
    assert right == pytest.approx(expected, abs=1e-6)
    assert runs[1]["none.predicted"] != 0
    assert "does not train, and no weights are given" in read_log(runs, "none.predicted")


def test_mmfs_own_trainer_uses_and_writes_them_too(runs):
    assert runs[1]["own_trainer"] == runs[1]["of_own"] == 0, read_log(runs, "own_trainer")[-3000:]
    expected = read_test(runs, "run")[1][f"test/{DATASET}/clipbert_answers/accuracy"]
    kept = json.loads((runs[0] / "plan.json.own_trainer.metrics").read_text())
    assert kept[f"test/{DATASET}/clipbert_answers/accuracy"] == pytest.approx(expected, abs=1e-6)
    own = json.loads((runs[0] / "plan.json.of_own.metrics").read_text())
    assert f"answers, tokenizer and preprocessing of {runs[0] / 'own' / 'current.ckpt'}" in read_log(
        runs, "of_own"
    )
    assert 0 <= own[f"test/{DATASET}/clipbert_answers/accuracy"] <= 1


def test_one_dataset_of_a_run_over_several_is_tested_with_its_head(runs):
    assert runs[1]["of_several"] == 0, read_log(runs, "of_several")[-3000:]
    name = f"test/{DATASET}/clipbert_answers/accuracy"
    assert read_test(runs, "of_several")[1][name] == pytest.approx(read_test(runs, "several")[1][name])
    told = read_trained_with(torch.load(runs[0] / "several" / "best.ckpt", weights_only=True))
    assert told is not None and set(told.datasets) == set(SEVERAL)
    assert len(told.datasets[DATASET].answers) > 3 and not told.datasets["msrvtt_mc"].answers


def test_a_finetuning_keeps_the_answers_of_its_own_data(runs):
    assert runs[1]["other"] == 0, read_log(runs, "other")[-3000:]
    answers = json.loads((runs[0] / "other_run" / f"answers_{OTHER}.json").read_text())
    assert set(answers) != set(json.loads((runs[0] / "answers_before.json").read_text()))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_weights", "does not train, and no weights are given"),
        ("no_weights_own", "does not train, and no weights are given"),
        ("no_run", "does not train, and no weights are given"),
        ("no_best", "best.ckpt, and there is no such file"),
        ("a_folder", "is a folder, not a checkpoint; give"),
        ("no_checkpoint", "text.ckpt is damaged"),
        ("part", "4 weights of the model are not in it (network.head."),
        ("part_own", "4 weights of the model are not in it (network.head."),
        ("more", "1 of its weights have no place in the model (ema.x)"),
        ("depth", "transformer.num_layers is 1 and the model in"),
        ("depth_untold", "of its weights have no place in the model (network.encoder.layers.1"),
        ("heads", "transformer.num_heads is 1 and the model in"),
        ("outputs", "head.num_answers is 2 and the model in"),
        ("answers", "answers.json has 2 answers (number 0 is 'no'), others ("),
        ("fewer", "answers.num_answers is 2 and the model in"),
        ("tokenizer", "words) is another tokenizer than"),
        ("words", "words, and the model has embeddings for 100"),
    ],
)
def test_what_is_not_of_the_trained_model_is_an_error(errors, name, words):
    assert errors[1][name] != 0 and words in read_log(errors, name), read_log(errors, name)[-3000:]


def test_random_weights_are_tested_where_that_is_said(runs):
    assert runs[1]["random"] == 0, read_log(runs, "random")[-3000:]


@pytest.mark.parametrize("name", ["", "best.ckpt", "clipbert_final.pth"])
def test_a_run_is_asked_from_any_directory(trained, tmp_path, monkeypatch, name):
    folder = trained
    moved = tmp_path / "moved"
    shutil.copytree(folder / "run", moved)
    monkeypatch.chdir(tmp_path)
    model = ClipBert.from_pretrained(f"moved/{name}".rstrip("/"))
    answers = json.loads((folder / "answers_before.json").read_text())
    assert list(model.answers) == sorted(answers, key=answers.get)
    assert model.preprocessing.clips.image_size == 48
    same = ClipBert.from_pretrained(moved, tokenizer=folder / "same")
    assert model.tokenizer.get_vocab() == same.tokenizer.get_vocab()
    with pytest.raises(RecipeError, match="another tokenizer than the model in"):
        ClipBert.from_pretrained(moved, tokenizer=folder / "other")
    with pytest.raises(RecipeError, match="has 2 answers"):
        ClipBert.from_pretrained(moved, answers=folder / "answers.json")
