"""The folder of a small run as the trainer leaves it, without training.

Checkpoints, configuration, metrics.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
import yaml

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.models.build import build_network
from clipbert_mmf.models.config import parse_model_config
from tests.network_settings import small_settings

METRICS = [
    {"split": "train", "update": 10, "losses": {"train/total_loss": 0.5}},
    {"split": "val", "update": 10, "metrics": {"val/msrvtt_retrieval/clipbert_retrieval/t2v_r1": 0.25}},
    {
        "split": "val",
        "update": 20,
        "metrics": {"val/msrvtt_retrieval/clipbert_retrieval/t2v_r1": 0.5},
        "final": True,
    },
    {
        "split": "test",
        "update": 20,
        "metrics": {"test/msrvtt_retrieval/clipbert_retrieval/t2v_r1": 0.125},
        "final": True,
    },
]


def run_config(tokenizer: Path, **changes) -> dict:
    """Return a run's resolved configuration; ``changes`` are of the model, as ``small_settings`` has them."""
    settings = small_settings(transformer__vocab_size=400, **changes)
    settings["weights"] = {**settings["weights"], "clipbert": "/secret/place/pretrained.pth"}
    return {
        "model": "clipbert",
        "datasets": "msrvtt_retrieval",
        "model_config": {"clipbert": {**settings, "model": "clipbert"}},
        "dataset_config": {
            "msrvtt_retrieval": {
                "data_dir": "/secret/data",
                "annotations": {"train": [{"file": "MSRVTT_data.json", "split": ["train"]}]},
                "processors": {
                    "text_processor": {
                        "type": "clipbert_text",
                        "params": {"tokenizer": str(tokenizer), "max_length": 12},
                    },
                    "train_media_processor": {
                        "type": "clipbert_video",
                        "params": {"num_clips": 4, "num_frames": 1},
                    },
                    "eval_media_processor": {
                        "type": "clipbert_video",
                        "params": {
                            "image_size": 64,
                            "num_clips": 3,
                            "num_frames": 2,
                            "sampling": "uniform",
                            "fps": 2,
                        },
                    },
                },
            }
        },
        "optimizer": {"type": "AdamW", "params": {"lr": 5e-5, "weight_decay": 1e-3}},
        "training": {"batch_size": 16, "max_updates": 20, "precision": "fp32", "seed": 3},
    }


def make_run(folder: Path, tokenizer: Path, config: dict | None = None, **changes):
    """Write a run; return its network."""
    config = config or run_config(tokenizer, **changes)
    torch.manual_seed(5)
    network = build_network(parse_model_config(config["model_config"]["clipbert"])).eval()
    for name, value in network.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    (folder / "models").mkdir(parents=True)
    torch.save(
        {"model": state, "optimizer": {"state": {}}, "num_updates": 10, "config": copy.deepcopy(config)},
        folder / "best.ckpt",
    )
    torch.save(state, folder / "clipbert_final.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in METRICS) + '{"split": "v'
    )
    return network


def load_sharp(folder: Path) -> ClipBert:
    """Load a run with larger weights, so that the scores of different pairs differ by more than rounding."""
    model = ClipBert.from_pretrained(folder)
    with torch.no_grad():
        for name, value in model.network.named_parameters():
            if value.ndim > 1 and not name.startswith("backbone"):
                value.mul_(10)
    return model


def same_state(one, other) -> bool:
    """Tell whether two networks hold the same numbers, bit for bit."""
    return same_tensors(one.state_dict(), other.state_dict())


def same_tensors(ours: dict, theirs: dict) -> bool:
    """Tell whether two state dicts hold the same numbers, bit for bit."""
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def read_test_captions(corpus: Path) -> dict[str, tuple[str, str]]:
    """Return file and caption of each test video of the demo corpus, by name."""
    table = json.loads((corpus / "msrvtt" / "MSRVTT_data.json").read_text())
    test = {entry["video_id"] for entry in table["videos"] if entry["split"] == "test"}
    files = {file.stem: str(file) for file in (corpus / "msrvtt" / "videos").iterdir()}
    return {
        entry["video_id"]: (files[entry["video_id"]], entry["caption"])
        for entry in table["sentences"]
        if entry["video_id"] in test
    }
