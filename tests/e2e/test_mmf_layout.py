"""MMF's own models train and are tested on our datasets with only a configuration."""

import subprocess
import sys

import pytest

from tests.e2e.running import ROOT, SMALL, read_metrics, run_plan

MODELS = ("mmbt", "unimodal_text", "unimodal_image", "concat_bert")
DATASETS = {"msrvtt_qa": "msrvtt", "vqa2_pixels": "vqa2"}

COMBINATIONS = [(model, dataset) for model in MODELS for dataset in DATASETS]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout")
    subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools/make_demo_corpus.py"),
            "--out",
            str(folder / "data"),
            "--corpora",
            "msrvtt",
            "coco",
            "vqa2",
            "--num-train",
            "20",
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
    for dataset, corpus in DATASETS.items():
        section = f"dataset_config.{dataset}"
        for model in MODELS:
            plan[f"{model}.{dataset}"] = [
                f"config=projects/clipbert/configs/mmf_models/{model}_{dataset}.yaml",
                f"model={model}",
                f"dataset={dataset}",
                f"{section}.data_dir={folder / 'data' / corpus}",
                f"{section}.processors.text_processor.params.tokenizer={folder / 'data' / 'tokenizer'}",
                f"{section}.processors.train_media_processor.params.image_size=64",
                f"{section}.processors.eval_media_processor.params.image_size=64",
                f"env.save_dir={folder / f'{model}.{dataset}'}",
                *SMALL,
                "training.max_epochs=null",
                "training.precision=fp32",
                "run_type=train_val_test",
                f"model_config.{model}.num_labels=64",
                *(
                    []
                    if model == "unimodal_image"
                    else [f"model_config.{model}.bert_model_name={folder / 'bert'}"]
                ),
            ]
    return folder, run_plan(
        "mmf_layout_program.py", plan, folder, folder / "bert", folder / "data" / "tokenizer"
    )


@pytest.mark.parametrize("model, dataset", COMBINATIONS)
def test_a_model_of_mmfs_own_trains_and_is_tested(runs, model, dataset):
    folder, codes = runs
    name = f"{model}.{dataset}"
    assert codes[name] == 0, (folder / f"plan.json.{name}.log").read_text()[-4000:]
    metrics = read_metrics(folder / name, "test")
    key = {"msrvtt_qa": "clipbert_answers", "vqa2_pixels": "clipbert_vqa"}[dataset]
    assert 0 <= metrics[f"{key}/accuracy"] <= 1
    assert metrics[f"{key}/num_items"] == metrics[f"{key}/num_texts"] > 3
