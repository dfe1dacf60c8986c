#!/usr/bin/env python3
"""Train models on the same data with the same seeds and budget, one after the other; print one table, draw one picture.

A run is MODEL:DATASET; MODEL is clipbert or one of MMF's own that ``projects/clipbert/configs/mmf_models`` has a recipe for.
A finished run is not run again unless its options changed. Results: table.md, results.json, compare.png in --save.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmf_runs import ROOT, count_parameters, read_step_seconds, read_training_lines, run_mmf

from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.report.run_record import read_run_record
from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.tasks.task import TASKS

CONFIGS = ROOT / "projects" / "clipbert" / "configs"
DEFAULT_RUNS = [
    f"{model}:msrvtt_qa" for model in ("clipbert", "mmbt", "concat_bert", "unimodal_text", "unimodal_image")
]
NUM_PROBE_UPDATES = 20
#: Field of a result -> (title of its column, format).
COLUMNS = {
    "accuracy": ("accuracy, %", "{:.1f}"),
    "chance": ("chance, %", "{:.1f}"),
    "parameters": ("parameters, M", "{:.2f}"),
    "updates": ("updates", "{:.0f}"),
    "step_seconds": ("seconds per update", "{:.3f}"),
    "max_memory_mib": ("peak memory, MiB", "{:.0f}"),
    "seconds": ("seconds in all", "{:.0f}"),
}
_SCALES = {"accuracy": 100, "chance": 100, "parameters": 1e-6}


def parse_run(text: str) -> tuple[str, str]:
    """Return model and dataset of MODEL:DATASET.

    Raises:
        ValueError: if it is none, or the dataset has no task that is compared.
    """
    model, _, dataset = text.partition(":")
    known = sorted(name for name, spec in SPECS.items() if _is_compared(spec.task))
    if not model or dataset not in known:
        raise ValueError(f"'{text}': expected MODEL:DATASET with a dataset of {known}")
    return model, dataset


def _is_compared(task_name: str) -> bool:
    """Return whether the main number is a share whose chance level the annotations tell."""
    task = TASKS.get(task_name)
    return task is not None and task.chance.read_annotation is not None and not task.smaller_is_better


def find_recipe(model: str, dataset: str, corpus: str) -> Path:
    """Return the configuration of a model on a dataset.

    Raises:
        SystemExit: if there is none.
    """
    recipe = {"demo": "demo", "real": "defaults"}[corpus]
    name = f"demo_{dataset}" if corpus == "demo" else f"{model}_{dataset}"
    path = (
        CONFIGS / dataset / f"{recipe}.yaml"
        if model == "clipbert"
        else CONFIGS / "mmf_models" / f"{name}.yaml"
    )
    if not path.is_file() or model not in read_yaml(path).get("model_config", {}):
        sys.exit(f"{model} on {dataset}: {path} has no recipe for it")
    return path


def make_small_bert(tokenizer: Path, folder: Path) -> None:
    """Write a BERT of the demo models' size with random weights, for MMF's own models begin with a folder of one."""
    if (folder / "config.json").is_file():
        return
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = BertTokenizerFast.from_pretrained(str(tokenizer))
    torch.manual_seed(0)
    words.save_pretrained(folder)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=128,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=256,
            max_position_embeddings=64,
        )
    ).save_pretrained(folder)


class Comparison:
    """The same budget for every run; what ``main`` parses are its settings."""

    def __init__(self, settings: argparse.Namespace):
        self.settings = settings

    def make_options(self, model: str, dataset: str, seed: int) -> list[str]:
        """Return the command line of a run, without its budget and its folder."""
        settings, section = self.settings, f"dataset_config.{dataset}"
        options = [
            f"config={find_recipe(model, dataset, settings.corpus).relative_to(ROOT)}",
            f"model={model}",
            f"dataset={dataset}",
            f"training.seed={seed}",
            "training.log_interval=10",
            "training.max_epochs=null",
        ]
        if settings.corpus == "demo":
            given = read_yaml(find_recipe(model, dataset, settings.corpus))["dataset_config"][dataset][
                "data_dir"
            ]
            options += [
                f"{section}.data_dir={settings.data / Path(given).relative_to('data/demo')}",
                f"{section}.processors.text_processor.params.tokenizer={settings.data / 'tokenizer'}",
            ]
            if model in ("mmbt", "concat_bert", "unimodal_text"):
                make_small_bert(settings.data / "tokenizer", settings.data / "bert")
                options += [
                    f"model_config.{model}.{place}bert_model_name={settings.data / 'bert'}"
                    for place in ("", "text_encoder.params.")
                ]
        if settings.start and model == "clipbert":
            options.append(f"model_config.clipbert.weights.clipbert={settings.start}")
        return [*options, *settings.options]

    def count_updates(self, options: list[str], folder: Path) -> int:
        """Return the budget in updates; a budget in seconds is divided by the time of an update, which is measured."""
        if self.settings.updates:
            return self.settings.updates
        probe = folder.with_name(f"{folder.name}_probe")
        run_mmf(
            [
                *options,
                f"env.save_dir={probe}",
                f"training.max_updates={NUM_PROBE_UPDATES}",
                "run_type=train",
                "training.log_interval=5",
                "training.evaluation_interval=0",
            ],
            probe.with_suffix(".log"),
        )
        return max(1, round(self.settings.seconds / read_step_seconds(probe)))

    def run(self, model: str, dataset: str, seed: int) -> dict:
        """Train and test one model with one seed, or return what it gave before."""
        folder = self.settings.save / f"{model}_{dataset}_{seed}"
        options, file = self.make_options(model, dataset, seed), folder / "result.json"
        asked = {"options": options, "updates": self.settings.updates, "seconds": self.settings.seconds}
        if file.is_file():
            result = json.loads(file.read_text(encoding="utf-8"))
            if result["asked"] == asked:
                return result
        updates = self.count_updates(options, folder)
        cost = run_mmf(
            [
                *options,
                f"env.save_dir={folder}",
                f"training.max_updates={updates}",
                "run_type=train_val_test",
                f"training.evaluation_interval={max(1, updates // 2)}",
            ],
            folder.with_suffix(".log"),
        )
        result = {
            "model": model,
            "dataset": dataset,
            "seed": seed,
            "updates": updates,
            **cost,
            **measure(folder, model, dataset),
            "asked": asked,
        }
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        return result


def measure(folder: Path, model: str, dataset: str) -> dict:
    """Return accuracy on the test split beside chance, and what the run took."""
    spec = SPECS[dataset]
    task, run = TASKS[spec.task], read_run_record(folder)
    on_device = [line["max_memory_mib"] for line in read_training_lines(folder) if "max_memory_mib" in line]
    return {
        "metric": task.main_metric,
        "accuracy": run.read_metrics("test")[task.main_metric],
        "chance": run.guess_from_annotations(spec),
        "step_seconds": read_step_seconds(folder),
        "parameters": count_parameters(folder / f"{model}_final.pth"),
        **({"max_memory_mib": max(on_device)} if on_device else {}),
    }


def summarize(results: list[dict]) -> list[dict]:
    """Return one row per model and dataset: means over seeds, and the spread of accuracy."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for result in results:
        groups.setdefault((result["model"], result["dataset"]), []).append(result)
    return [
        {
            "model": model,
            "dataset": dataset,
            "seeds": [one["seed"] for one in group],
            **{name: statistics.mean(one[name] for one in group) for name in COLUMNS},
            "accuracy_std": statistics.stdev(one["accuracy"] for one in group) if len(group) > 1 else 0.0,
        }
        for (model, dataset), group in groups.items()
    ]


def make_table(rows: list[dict]) -> str:
    """Return a Markdown table."""
    lines = [
        f"| {' | '.join(['model', 'dataset', *(title for title, _ in COLUMNS.values())])} |",
        f"|{' --- |' * (len(COLUMNS) + 2)}",
    ]
    for row in rows:
        shown = {name: form.format(row[name] * _SCALES.get(name, 1)) for name, (_, form) in COLUMNS.items()}
        if len(row["seeds"]) > 1:
            shown["accuracy"] += f" ± {100 * row['accuracy_std']:.1f}"
        lines.append(f"| `{row['model']}` | `{row['dataset']}` | {' | '.join(shown.values())} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict], path: Path) -> None:
    """Draw accuracy with chance, parameters, time of an update and memory as bars, a row per model."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    datasets = {row["dataset"] for row in rows}
    names = [row["model"] if len(datasets) == 1 else f"{row['model']}\n{row['dataset']}" for row in rows]
    panels = ("accuracy", "parameters", "step_seconds", "max_memory_mib")
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 1.2 + 0.5 * len(rows)), sharey=True)
    for name, axis in zip(panels, axes, strict=True):
        values = [row[name] * _SCALES.get(name, 1) for row in rows]
        bars = axis.barh(
            range(len(rows)),
            values,
            color=["#1b6ca8" if row["model"] == "clipbert" else "#b8b8b8" for row in rows],
        )
        axis.bar_label(bars, [COLUMNS[name][1].format(value) for value in values], padding=3, fontsize=9)
        axis.set_xlim(0, 1.3 * max(values))
        axis.set_title(COLUMNS[name][0], fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        if name == "accuracy":
            for place, row in enumerate(rows):
                axis.plot(
                    [100 * row["chance"]] * 2,
                    [place - 0.4, place + 0.4],
                    color="black",
                    linestyle="--",
                    linewidth=1.2,
                    label=None if place else "chance",
                )
            axis.legend(frameon=False, fontsize=8, loc="lower right")
    axes[0].set_yticks(range(len(rows)), names)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run what has no result, print and write the table, draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="MODEL:DATASET",
        help=f"what to compare (default: {' '.join(DEFAULT_RUNS)}); "
        "KEY=VALUE among them is an option of every mmf_run, e.g. dataset_config....data_dir=/data/msrvtt",
    )
    parser.add_argument(
        "--corpus",
        choices=("demo", "real"),
        default="demo",
        help="small recipes for the demo corpora, or the full ones",
    )
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="directory of the demo corpora")
    parser.add_argument("--updates", type=int, help="budget of each run")
    parser.add_argument("--seconds", type=float, help="budget of each run as seconds of training")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument(
        "--start", help="checkpoint that clipbert starts from; the others start as their recipes say"
    )
    parser.add_argument("--save", type=Path, default=Path("save/compare"))
    settings = parser.parse_intermixed_args(arguments)
    settings.options = [word for word in settings.runs if "=" in word]
    try:
        settings.runs = [parse_run(word) for word in settings.runs if "=" not in word] or list(
            map(parse_run, DEFAULT_RUNS)
        )
    except ValueError as error:
        parser.error(str(error))
    if (settings.updates is None) == (settings.seconds is None):
        parser.error("give the budget as --updates or as --seconds")
    settings.data, settings.save = settings.data.resolve(), settings.save.resolve()
    comparison, results = Comparison(settings), []
    for number, (model, dataset) in enumerate(settings.runs, 1):
        for seed in settings.seeds:
            print(f"[{number}/{len(settings.runs)}] {model} on {dataset}, seed {seed}", flush=True)
            results.append(comparison.run(model, dataset, seed))
    rows = summarize(results)
    table = make_table(rows)
    print(f"\n{table}")
    (settings.save / "table.md").write_text(table, encoding="utf-8")
    (settings.save / "results.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    draw(rows, settings.save / "compare.png")
    print(settings.save / "compare.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
