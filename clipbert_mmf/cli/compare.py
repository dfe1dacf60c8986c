"""``clipbert compare``: models trained on the same data with the same seeds and budget, one after the other.

A run is MODEL:DATASET; MODEL is clipbert or one of MMF's own that ``projects/clipbert/configs/mmf_models``
has a recipe for. A finished run is not run again unless its options changed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clipbert_mmf.cli.arguments.compare import DEFAULT_RUNS
from clipbert_mmf.cli.mmf_process import run_mmf
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import require_folder
from clipbert_mmf.inference.settings import RecipeError, read_yaml
from clipbert_mmf.json_text import format_json, parse_json
from clipbert_mmf.paths import project_dir
from clipbert_mmf.report.model_comparison import (
    draw_comparison,
    format_comparison_table,
    measure_run,
    parse_model_and_dataset,
    read_main_outcomes,
    summarize_results,
)
from clipbert_mmf.report.run_results import read_step_seconds
from clipbert_mmf.writing import write_text_atomically

#: Models of MMF that start from the folder of a BERT.
BERT_MODELS = ("mmbt", "concat_bert", "unimodal_text")
#: Updates of the short run that measures the time of an update.
NUM_PROBE_UPDATES = 20


def run(options: argparse.Namespace) -> int:
    """Run what has no result; print and write the table, draw the picture."""
    if (options.updates is None) == (options.seconds is None):
        raise ValueError("give the budget as --updates or as --seconds")
    words = [word for word in options.runs if "=" not in word] or DEFAULT_RUNS
    runs = [parse_model_and_dataset(word) for word in words]
    extra = [word for word in options.runs if "=" in word]
    if options.user_dir:
        extra.append(f"env.user_dir={Path(options.user_dir).resolve()}")
    comparison = Comparison(
        options.corpus,
        require_folder(options.data, "--data") if options.corpus == "demo" else options.data.resolve(),
        options.save.resolve(),
        options.updates,
        options.seconds,
        options.start,
        extra,
    )
    results = []
    for number, (model, dataset) in enumerate(runs, 1):
        for seed in range(1, options.seeds + 1):
            sys.stderr.write(f"[{number}/{len(runs)}] {model} on {dataset}, seed {seed}\n")
            results.append(comparison.run(model, dataset, seed))
    outcomes = [
        read_main_outcomes(comparison.find_folder(one["model"], one["dataset"], one["seed"]), one["metric"])
        for one in results
    ]
    rows = summarize_results(results, outcomes)
    table, picture = format_comparison_table(rows), comparison.save / "compare.png"
    write_text_atomically(table, comparison.save / "table.md")
    write_text_atomically(format_json(rows, 2) + "\n", comparison.save / "results.json")
    draw_comparison(rows, picture)
    print_result(options, rows, ["", table, str(picture)])
    return 0


@dataclass(frozen=True)
class Comparison:
    """Data and budget that all runs share.

    Attributes:
        corpus: ``demo`` or ``real``.
        data: directory of the demo corpora.
        save: folder of all runs.
        updates: budget of a run; None where it is given in seconds.
        seconds: budget of a run's training; None where it is given in updates.
        start: checkpoint that clipbert starts from.
        extra: options of every ``mmf_run``.
    """

    corpus: str
    data: Path
    save: Path
    updates: int | None
    seconds: float | None
    start: str | None
    extra: list[str]

    def write_options(self, model: str, dataset: str, seed: int) -> list[str]:
        """Return the command line of a run, without its budget and its folder."""
        recipe, section = find_recipe(model, dataset, self.corpus), f"dataset_config.{dataset}"
        options = [
            f"config={recipe}",
            f"model={model}",
            f"dataset={dataset}",
            f"training.seed={seed}",
            "training.log_interval=10",
            "training.max_epochs=null",
        ]
        if self.corpus == "demo":
            folder = Path(read_yaml(recipe)["dataset_config"][dataset]["data_dir"]).relative_to("data/demo")
            options += [
                f"{section}.data_dir={self.data / folder}",
                f"{section}.processors.text_processor.params.tokenizer={self.data / 'tokenizer'}",
            ]
            if model in BERT_MODELS:
                write_small_bert(self.data / "tokenizer", self.data / "bert")
                options += [
                    f"model_config.{model}.{place}bert_model_name={self.data / 'bert'}"
                    for place in ("", "text_encoder.params.")
                ]
        if self.start and model == "clipbert":
            options.append(f"model_config.clipbert.weights.clipbert={self.start}")
        return [*options, *self.extra]

    def run(self, model: str, dataset: str, seed: int) -> dict[str, Any]:
        """Train and test one model with one seed, or return its result of before."""
        folder = self.find_folder(model, dataset, seed)
        options, file = self.write_options(model, dataset, seed), folder / "result.json"
        asked = {"options": options, "updates": self.updates, "seconds": self.seconds}
        if file.is_file():
            result = parse_json(file.read_text(encoding="utf-8"))
            if result["asked"] == asked:
                return result
        updates = self.updates or self._count_updates(options, folder)
        budget = [
            f"env.save_dir={folder}",
            "env.overwrite=true",
            f"training.max_updates={updates}",
            "run_type=train_val_test",
            f"training.evaluation_interval={max(1, updates // 2)}",
        ]
        cost = run_mmf([*options, *budget], folder.with_suffix(".log"))
        result = {
            "model": model,
            "dataset": dataset,
            "seed": seed,
            "updates": updates,
            **cost._asdict(),
            **measure_run(folder, model, dataset),
            "asked": asked,
        }
        write_text_atomically(format_json(result, 1) + "\n", file)
        return result

    def find_folder(self, model: str, dataset: str, seed: int) -> Path:
        """Return the folder of a run."""
        return self.save / f"{model}_{dataset}_{seed}"

    def _count_updates(self, options: list[str], folder: Path) -> int:
        """Return the budget in updates: the seconds divided by the measured time of an update."""
        probe = folder.with_name(f"{folder.name}_probe")
        short = [
            f"env.save_dir={probe}",
            "env.overwrite=true",
            f"training.max_updates={NUM_PROBE_UPDATES}",
            "run_type=train",
            "training.log_interval=5",
            "training.evaluation_interval=0",
        ]
        run_mmf([*options, *short], probe.with_suffix(".log"))
        return max(1, round((self.seconds or 0.0) / read_step_seconds(probe)))


def find_recipe(model: str, dataset: str, corpus: str) -> Path:
    """Return the configuration of a model on a dataset.

    Args:
        model: registry key.
        dataset: registry key.
        corpus: ``demo`` or ``real``.

    Raises:
        RecipeError: if there is none.
    """
    configs = project_dir() / "clipbert" / "configs"
    if model == "clipbert":
        path = configs / dataset / ("demo.yaml" if corpus == "demo" else "defaults.yaml")
    else:
        path = configs / "mmf_models" / f"{'demo' if corpus == 'demo' else model}_{dataset}.yaml"
    if not path.is_file() or model not in read_yaml(path).get("model_config", {}):
        raise RecipeError(f"{model} on {dataset}: {path} has no recipe for it")
    return path


def write_small_bert(tokenizer: Path, folder: Path) -> None:
    """Write a BERT of the demo models' size with random weights, from which MMF's own models start.

    Args:
        tokenizer: directory of the tokenizer whose vocabulary it has.
        folder: to write; one that is there already is kept.
    """
    if (folder / "config.json").is_file():
        return
    from transformers import BertConfig, BertModel, BertTokenizerFast  # seconds, for this alone

    words = BertTokenizerFast.from_pretrained(str(tokenizer))
    torch.manual_seed(0)
    words.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
