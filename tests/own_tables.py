"""Builds splits of ``video_text_csv`` from a table and media that a test wrote, as MMF builds them."""

from __future__ import annotations

import csv
from pathlib import Path

import mmf  # noqa: F401
import torch
from mmf.common.registry import registry
from mmf.utils.configuration import load_yaml
from omegaconf import OmegaConf

from clipbert_mmf.plugin import builder as builder_file  # noqa: F401  # registers the builders

NAME = "video_text_csv"


def write_table(path: Path, header: str, rows) -> Path:
    """Write a CSV; ``header`` has the columns, separated by blanks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header.split())
        writer.writerows(rows)
    return path


def build_split(folder: Path, tokenizer_dir: Path, split: str, save: str = "save", **changes):
    """Return a split of the table ``annotations.csv`` and the media ``videos`` of a folder.

    The run is kept in ``save``.
    """
    for attribute in ("text_processor", "train_media_processor", "eval_media_processor"):
        registry.unregister(f"{NAME}_{attribute}")
    builder = registry.get_builder_class(NAME)()
    params = {"image_size": 128, "num_clips": 2, "fps": None}
    section = OmegaConf.merge(
        load_yaml(builder.config_path()),
        {
            "dataset_config": {
                NAME: {
                    "data_dir": str(folder),
                    "max_failure_share": 1.0,
                    "processors": {
                        "text_processor": {"params": {"tokenizer": str(tokenizer_dir)}},
                        "train_media_processor": {"params": params},
                        "eval_media_processor": {"params": params},
                    },
                    **changes,
                }
            }
        },
    ).dataset_config[NAME]
    registry.register(
        "config", OmegaConf.create({"training": {"seed": 3}, "env": {"save_dir": str(folder / save)}})
    )
    registry.register("current_device", torch.device("cpu"))
    return builder.load(section, split)
