"""One dataset of each task on a tiny corpus: command lines of ``mmf_run`` that end in seconds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.running import ROOT

#: Dataset -> folder of its corpus. One dataset of each task.
DATASETS = {
    "msrvtt_retrieval": "msrvtt",
    "coco_captions_pretraining": "coco",
    "msrvtt_qa": "msrvtt",
    "tgif_qa_action": "tgif_qa",
    "vqa2_pixels": "vqa2",
    "tgif_qa_count": "tgif_qa",
}
#: Datasets whose answers are classes. Their runs save the vocabulary.
WITH_ANSWERS = ("msrvtt_qa", "vqa2_pixels")


def make_corpora(out: Path, *corpora: str) -> Path:
    """Write corpora, by default all of ``DATASETS``, with a few media each; return their folder."""
    program = [
        sys.executable,
        str(ROOT / "tools" / "make_demo_corpus.py"),
        "--out",
        str(out),
        "--workers",
        "1",
    ]
    sizes = ["--num-train", "10", "--num-test", "4", "--num-images", "30"]
    subprocess.run(
        [*program, *sizes, "--corpora", *sorted(corpora or set(DATASETS.values()))],
        check=True,
        capture_output=True,
        timeout=240,
    )
    return out


def task_options(corpora: Path, dataset: str, save_dir: Path, *options: str) -> list[str]:
    """Return the command line of a run of a demo recipe.

    Four updates, validation and a checkpoint after the second.
    """
    section = f"dataset_config.{dataset}"
    return [
        f"config=projects/clipbert/configs/{dataset}/demo.yaml",
        "model=clipbert",
        f"dataset={dataset}",
        f"{section}.data_dir={corpora / DATASETS[dataset]}",
        f"{section}.processors.text_processor.params.tokenizer={corpora / 'tokenizer'}",
        f"env.save_dir={save_dir}",
        f"env.report_dir={save_dir}",
        "training.max_updates=4",
        "training.log_interval=1",
        "training.evaluation_interval=2",
        "training.num_workers=0",
        "training.batch_size=4",
        "checkpoint.max_to_keep=-1",
        *options,
    ]


def read_records(save_dir: Path, split: str) -> list[dict]:
    """Return the records of a split in ``metrics.jsonl``."""
    records = [json.loads(line) for line in (save_dir / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["split"] == split]


def read_predictions(save_dir: Path, dataset: str) -> list[dict]:
    """Return the records of the one prediction file of a dataset."""
    (file,) = save_dir.glob(f"{dataset}_run_test_*.json")
    return json.loads(file.read_text())


def list_files(save_dir: Path) -> set[str]:
    """Return the files below a folder; ``*`` stands for times and dates in their names."""
    names = {str(path.relative_to(save_dir)) for path in save_dir.rglob("*") if path.is_file()}
    return {re.sub(r"(?<=_)\d{4}[-_]\d\d.*(?=\.)", "*", name) for name in names}
