"""Every task through MMF's command line.

Each demo recipe trains a few updates on its corpus and tests on held-out data.
"""

import json
import subprocess
import sys

import pytest

from tests.e2e.running import ROOT, SMALL, read_metrics, run_mmf, run_plan

#: Dataset -> (folder of its corpus, metrics that must be there, with their range).
TASKS = {
    "didemo_retrieval": (
        "didemo",
        {"clipbert_retrieval/t2v_r1": (0, 1), "clipbert_retrieval/num_items": (4, 4)},
    ),
    "activitynet_retrieval": (
        "activitynet",
        {"clipbert_retrieval/t2v_r1": (0, 1), "clipbert_retrieval/num_items": (4, 4)},
    ),
    "coco_captions_retrieval": (
        "coco",
        {"clipbert_retrieval/t2v_r1": (0, 1), "clipbert_retrieval/num_unreadable": (0, 0)},
    ),
    "msrvtt_qa": (
        "msrvtt",
        {
            "clipbert_answers/accuracy": (0, 1),
            "clipbert_answers/num_texts_what": (1, 99),
            "clipbert_answers/num_unknown": (0, 99),
            "clipbert_answers/num_items": (8, 24),
        },
    ),
    "msrvtt_mc": ("msrvtt", {"clipbert_answers/accuracy": (0, 1), "clipbert_answers/num_items": (4, 4)}),
    "tgif_qa_action": (
        "tgif_qa",
        {"clipbert_answers/accuracy": (0, 1), "clipbert_answers/num_texts": (6, 6)},
    ),
    "tgif_qa_transition": (
        "tgif_qa",
        {"clipbert_answers/accuracy": (0, 1), "clipbert_answers/num_texts": (12, 12)},
    ),
    "tgif_qa_frameqa": (
        "tgif_qa",
        {"clipbert_answers/accuracy": (0, 1), "clipbert_answers/accuracy_color": (0, 1)},
    ),
    "tgif_qa_count": ("tgif_qa", {"clipbert_count/mse": (0, 81), "clipbert_count/accuracy": (0, 1)}),
    "vqa2_pixels": ("vqa2", {"clipbert_vqa/accuracy": (0, 1), "clipbert_vqa/num_texts_yes_no": (3, 3)}),
    "visual_genome_pretraining": (
        "visual_genome",
        {"clipbert_pretraining/mlm_accuracy": (0, 1), "clipbert_pretraining/itm_accuracy": (0, 1)},
    ),
    "coco_vg_pretraining": (
        ".",
        {"clipbert_pretraining/mlm_accuracy": (0, 1), "clipbert_pretraining/itm_accuracy": (0, 1)},
    ),
}
#: One of each kind is also predicted.
PREDICTED = (
    "didemo_retrieval",
    "msrvtt_qa",
    "tgif_qa_action",
    "tgif_qa_count",
    "vqa2_pixels",
    "coco_vg_pretraining",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Exit codes, and the folder that holds one folder per run."""
    folder = tmp_path_factory.mktemp("tasks")
    subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools/make_demo_corpus.py"),
            "--out",
            str(folder / "data"),
            "--corpora",
            "all",
            "--num-train",
            "40",
            "--num-test",
            "4",
            "--num-images",
            "30",
            "--workers",
            "1",
        ],
        check=True,
        capture_output=True,
        timeout=240,
    )
    plan = {}
    for name, (corpus, _) in TASKS.items():
        section = f"dataset_config.{name}"
        plan[name] = [
            f"config=projects/clipbert/configs/{name}/demo.yaml",
            "model=clipbert",
            f"dataset={name}",
            f"{section}.data_dir={folder / 'data' / corpus}",
            f"env.save_dir={folder / name}",
            *SMALL,
            f"{section}.processors.text_processor.params.tokenizer={folder / 'data' / 'tokenizer'}",
            f"run_type={'test' if name == 'msrvtt_mc' else 'train_val_test'}",
        ]
    plan["msrvtt_mc"].append("model_config.clipbert.weights.allow_random=true")
    for name in PREDICTED:
        plan[f"{name}.predict"] = [
            *(option for option in plan[name] if not option.startswith(("env.save_dir", "run_type"))),
            "run_type=test",
            "evaluation.predict=true",
            f"env.save_dir={folder / (name + '.predict')}",
            f"env.report_dir={folder / (name + '.predict')}",
            "training.batch_size=3",
            f"model_config.clipbert.weights.clipbert={folder / name / 'clipbert_final.pth'}",
        ]
    return folder, run_plan("tasks_program.py", plan, folder)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_trains_and_is_tested(runs, name):
    folder, codes = runs
    assert codes[name] == 0, (folder / f"plan.json.{name}.log").read_text()[-3000:]
    metrics = read_metrics(folder / name, "test")
    for key, (low, high) in TASKS[name][1].items():
        assert low <= metrics[key] <= high, (key, metrics)


def find_predictions(folder, dataset):
    (file,) = folder.glob(f"{dataset}_run_test_*.json")
    return file


@pytest.mark.parametrize("name", PREDICTED)
def test_predictions_give_the_metrics_of_the_test(runs, name):
    folder, codes = runs
    assert codes[f"{name}.predict"] == 0, (folder / f"plan.json.{name}.predict.log").read_text()[-3000:]
    file = find_predictions(folder / f"{name}.predict", name)
    done = subprocess.run(
        [sys.executable, "-m", "clipbert_mmf.cli.main", "evaluate", str(file), "--json"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found, expected = json.loads(done.stdout), read_metrics(folder / name, "test")
    shared = set(found) & set(expected)
    assert shared and {key: found[key] for key in shared} == pytest.approx(
        {key: expected[key] for key in shared}, rel=1e-6
    )


def test_the_answers_of_a_run_are_saved_with_it(runs):
    answers = json.loads((runs[0] / "msrvtt_qa" / "answers_msrvtt_qa.json").read_text())
    assert sorted(answers.values()) == list(range(len(answers))) and "red" in answers


def test_two_processes_and_other_batches_give_the_same_accuracy_with_an_unreadable_video(runs, tmp_path):
    folder, _ = runs
    video = sorted((folder / "data" / "msrvtt" / "videos").glob("video4[0-7].*"))[0]
    content = video.read_bytes()
    video.write_bytes(content[:200])
    try:
        results, predictions = [], []
        for world_size, batch_size in ((1, 4), (2, 6)):
            save_dir = tmp_path / str(world_size)
            options = [
                option
                for option in json.loads((folder / "plan.json").read_text())["msrvtt_qa"]
                if not option.startswith(("env.save_dir", "run_type", "training.batch_size"))
            ]
            run_mmf(
                [
                    *options,
                    f"env.save_dir={save_dir}",
                    "run_type=test",
                    f"training.batch_size={batch_size}",
                    f"model_config.clipbert.weights.clipbert={folder / 'msrvtt_qa' / 'clipbert_final.pth'}",
                ],
                world_size,
            )
            results.append(read_metrics(save_dir, "test"))
            run_mmf(
                [
                    *options,
                    f"env.save_dir={save_dir}",
                    "run_type=test",
                    f"training.batch_size={batch_size}",
                    "evaluation.predict=true",
                    f"env.report_dir={save_dir}",
                    f"model_config.clipbert.weights.clipbert={folder / 'msrvtt_qa' / 'clipbert_final.pth'}",
                ],
                world_size,
            )
            predictions.append(json.loads(find_predictions(save_dir, "msrvtt_qa").read_text()))
    finally:
        video.write_bytes(content)
    assert results[0] == results[1] and results[0]["clipbert_answers/num_unreadable"] in (1, 2)
    # The same records in the same order; numbers differ by how texts were batched.
    assert [(r["item"], r["text_id"], r["readable"]) for r in predictions[0]] == [
        (r["item"], r["text_id"], r["readable"]) for r in predictions[1]
    ]
    assert (
        results[0]["clipbert_answers/num_items"]
        == read_metrics(folder / "msrvtt_qa", "test")["clipbert_answers/num_items"]
    )
