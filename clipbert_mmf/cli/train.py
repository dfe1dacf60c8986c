"""``clipbert train``: a trained model goes on with a folder of videos and a table, through ``mmf_run``.

The network, its tokenizer and its preprocessing are those of the model; nothing of them is typed again.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml

from clipbert_mmf.annotations.formats import has_column
from clipbert_mmf.cli.mmf_process import MMF_RUN, require_mmf
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import require_folder
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import TOKENIZER_FOLDER
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.inference.sources import find_local_model, find_model, is_saved_folder, read_run
from clipbert_mmf.models.config import dump_model_config
from clipbert_mmf.paths import project_dir
from clipbert_mmf.processes import count_cores
from clipbert_mmf.tasks.task import TASKS
from clipbert_mmf.training.options import CheckpointOptions
from clipbert_mmf.training.run_folder import FolderUse, check_use
from clipbert_mmf.writing import write_text_atomically

DATASET = "video_text_csv"
#: File of the run's folder with what the model says about the run.
CONFIG_FILE = "clipbert_train.yaml"
_TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
#: Sections that the task's recipe decides.
_OF_THE_TASK = ("head", "heads", "losses", "fold", "weights")


def run(options: argparse.Namespace) -> int:
    """Write the configuration and run ``mmf_run`` with it; return its exit status."""
    require_mmf()
    find_local_model(options.model)
    data = require_folder(options.data, "--data")
    table = _find_table(data, options.table)
    task = options.task or guess_task(data / table)
    save = (options.save or Path("save") / data.name).expanduser().resolve()
    if not options.show:
        goes_on = CheckpointOptions(resume="checkpoint.resume=true" in options.options)
        overwrites = "env.overwrite=true" in options.options
        use = FolderUse("train", trains=True, predicts=False, overwrite=overwrites, checkpoint=goes_on)
        check_use(save, use, "--save")
    model = ClipBert.from_pretrained(options.model, config=options.config, dataset=options.dataset)
    config = describe_run(options, model, data, table, task, save)
    file = save / CONFIG_FILE
    words = [f"config={file}", "model=clipbert", f"dataset={DATASET}", f"env.save_dir={save}"]
    if options.user_dir:
        words.append(f"env.user_dir={Path(options.user_dir).resolve()}")
    words += options.options
    if options.show:
        command = ["mmf_run", *words]
        print_result(
            options, {"command": command, "config": config}, [shlex.join(command), yaml.safe_dump(config)]
        )
        return 0
    save.mkdir(parents=True, exist_ok=True)
    model.save_tokenizer(save / TOKENIZER_FOLDER)
    write_text_atomically(yaml.safe_dump(config, sort_keys=False), file)
    return subprocess.run([*MMF_RUN, *words], check=False).returncode


def describe_run(
    options: argparse.Namespace, model: ClipBert, data: Path, table: str, task: str, save: Path
) -> dict[str, Any]:
    """Return the configuration of the run, over the task's recipe.

    Args:
        options: the verb's options.
        model: the model that goes on.
        data: absolute folder of the table and the videos.
        table: name of the table below it.
        task: key of ``TASKS`` with a recipe.
        save: absolute folder of the run, which gets the model's tokenizer.

    Raises:
        FileNotFoundError, RecipeError, WeightsFileError: if the model cannot be read.
    """
    network = dump_model_config(model.recipe.model)
    read = model.preprocessing.to_dict()
    texts = {"tokenizer": str(save / TOKENIZER_FOLDER), "max_length": read.pop("max_text_tokens")}
    if "text_cut" in read:
        texts["cut"] = read.pop("text_cut")
    if read.pop("media") == "image":
        read = {"image_size": read["image_size"]}
    elif read.get("clip_len_sec"):
        read["fps"] = None  # the recipe's; one of the two gives the length of a clip
    in_training = {key: value for key, value in read.items() if key not in ("num_clips", "sampling")}
    path = find_model(options.model)
    recipe = project_dir() / "clipbert" / "configs" / DATASET / TASKS[task].recipe
    config: dict[str, Any] = {
        "includes": [str(recipe)],
        # More processes than cores would take the cores from each other.
        "training": {"num_workers": min(read_yaml(recipe)["training"]["num_workers"], count_cores())},
        "model_config": {
            "clipbert": {
                **{key: value for key, value in network.items() if key not in _OF_THE_TASK},
                "weights": {"clipbert": str(path.resolve())},
            }
        },
        "dataset_config": {
            DATASET: {
                "data_dir": str(data),
                "file": table,
                "media": dict.fromkeys(
                    ("train", "val", "test"), "videos" if (data / "videos").exists() else "."
                ),
                "processors": {
                    "text_processor": {"params": texts},
                    "train_media_processor": {"params": in_training},
                    "eval_media_processor": {"params": read},
                },
            }
        },
    }
    if not is_saved_folder(path):
        files = read_run(path, options.config)
        config["model_config"]["clipbert"]["weights"]["clipbert"] = str(files.checkpoint.path.resolve())
        if "optimizer" in files.config:  # weights that lie alone tell the model only
            config["optimizer"] = files.config["optimizer"]
            config["training"]["precision"] = files.config["training"].get("precision", "fp32")
    return config


def guess_task(table: Path) -> str:
    """Return the task that a table's columns are of; numbers as answers are not told from words.

    Raises:
        AnnotationError: if the file is no table.
    """
    if not has_column(table, "question"):
        return "retrieval"
    return "multiple_choice" if has_column(table, "options") else "open_ended"


def _find_table(data: Path, name: str | None) -> str:
    """Return the name of the table of a folder.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if there are several.
    """
    if name is not None:
        if not (data / name).is_file():
            raise FileNotFoundError(f"--table {name}: no such file below {data}")
        return name
    found = sorted(path.name for path in data.iterdir() if path.suffix.lower() in _TABLES and path.is_file())
    if not found:
        raise FileNotFoundError(
            f"--data {data}: no table there; expected a file {', '.join('*' + kind for kind in _TABLES)} with "
            f"columns such as video,text"
        )
    if len(found) > 1:
        raise ValueError(f"--data {data}: several tables, {', '.join(found)}; say which: --table {found[0]}")
    return found[0]
