#!/usr/bin/env python3
"""Run one of the paper's ablation tables or figures, row by row, and print ours beside the paper's.

Rows are the files of ``projects/clipbert/configs/ablations/<table>``, each only what it changes. A row that has a result
is not run again. On the demo corpora networks and frames are small: compare rows with each other, not with the paper.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ablation_results import draw, make_table
from mmf_runs import ROOT, read_step_seconds, run_mmf
from quickstart_table import read_final_metrics

ABLATIONS = ROOT / "projects" / "clipbert" / "configs" / "ablations"
#: Task -> (dataset, metrics shown with their names in the paper's tables).
TASKS = {
    "retrieval": (
        "msrvtt_retrieval",
        {name: f"clipbert_retrieval/{name}" for name in ("t2v_r1", "t2v_r5", "t2v_r10", "t2v_median_rank")},
    ),
    "qa": ("msrvtt_qa", {"qa_accuracy": "clipbert_answers/accuracy"}),
    # Beyond the paper: questions about what is seen for a moment.
    "frameqa": ("tgif_qa_frameqa", {"qa_accuracy": "clipbert_answers/accuracy"}),
}
#: Corpus -> (recipe, what a frame of 448 pixels is there).
CORPORA = {"demo": ("demo", 64), "real": ("defaults", 448)}
#: Corpus -> what a reader must know of our numbers on it.
CAPTIONS = {
    "demo": "Ours are of the demo corpus and its small network, the paper's of the real one: compare rows, not columns.",
    "real": "Ours beside the paper's.",
}
NUM_COST_UPDATES = 12


def read_options(row: Path, dataset: str, image_size_448: int, files: dict[str, str]) -> list[str] | None:
    """Return a row's changes as options for one dataset, or None where it needs a weights file that was not given."""
    content = yaml.safe_load(row.read_text(encoding="utf-8"))
    options = []
    for place, value in flatten(content):
        if place[0] == "dataset_config":
            if place[1] != "msrvtt_retrieval":
                continue
            place = ("dataset_config", dataset, *place[2:])
        if place[-1] == "image_size":
            value = max(16, round(value * image_size_448 / 448 / 16) * 16)
        if isinstance(value, str) and value.startswith("{"):
            if value.strip("{}") not in files:
                return None
            value = files[value.strip("{}")]
        options.append(f"{'.'.join(place)}={format_option(value)}")
    return options


def format_option(value) -> str:
    """Write a value as MMF's command line reads it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def flatten(content: dict, place: tuple[str, ...] = ()):
    """Yield (place, value) of every leaf."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flatten(value, (*place, key))
        else:
            yield (*place, key), value


class Ablation:
    """One table or figure on one corpus and task."""

    def __init__(self, arguments):
        index = json.loads((ABLATIONS / "index.json").read_text(encoding="utf-8"))
        self.name, self.entry = arguments.table, index[arguments.table]
        self.dataset, self.metrics = TASKS[arguments.task]
        self.corpus = arguments.corpus
        recipe, self.image_size = CORPORA[self.corpus]
        self.title = f"{self.entry['title']} ({self.dataset}, {self.corpus} corpus)"
        self.save = arguments.save / f"{self.name}_{arguments.task}_{arguments.corpus}"
        self.files = {"pretrained": arguments.start} if arguments.start else {}
        self.files.update(pair.split("=", 1) for pair in arguments.weights)
        self.common = [
            f"config=projects/clipbert/configs/{self.dataset}/{recipe}.yaml",
            "model=clipbert",
            f"dataset={self.dataset}",
            *(f"dataset_config.{self.dataset}.{option}" for option in self.entry["base"]),
        ]
        if arguments.start:
            self.common.append(f"model_config.clipbert.weights.clipbert={arguments.start}")
        if arguments.updates:
            self.common += [
                f"training.max_updates={arguments.updates}",
                f"training.evaluation_interval={arguments.updates}",
            ]
        self.extra, self.patterns = arguments.options, arguments.rows

    def run(self) -> list[dict]:
        """Run every wanted row that has no result; return all rows in order, with the results there are."""
        rows = []
        for number, row in enumerate(self.entry["rows"]):
            name = Path(row["file"]).stem
            options = read_options(
                ABLATIONS / self.name / row["file"], self.dataset, self.image_size, self.files
            )
            ours = {} if options is None else self.read_saved(self.save / name, options)
            if not ours and any(fnmatch.fnmatch(name, pattern) for pattern in self.patterns):
                print(f"[{number + 1}/{len(self.entry['rows'])}] {' '.join(row['label'])}", flush=True)
                if options is None:
                    print("    left out: its weights file was not given (--weights)")
                else:
                    ours = self.run_and_save(self.save / name, options)
            rows.append({**row, "ours": ours})
        return rows

    def read_saved(self, folder: Path, options: list[str]) -> dict:
        """Return a row's result, or nothing where there is none or it was made with other options."""
        path = folder / "result.json"
        saved = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return saved["ours"] if saved.get("options") == [*self.common, *options, *self.extra] else {}

    def run_and_save(self, folder: Path, options: list[str]) -> dict:
        """Run a row and return its result, saved beside the options it was made with."""
        ours = self.run_row(folder, options)
        saved = {"options": [*self.common, *options, *self.extra], "ours": ours}
        (folder / "result.json").write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
        return ours

    def run_row(self, folder: Path, options: list[str]) -> dict:
        """Train and test one row, or only test or measure it, as the table asks."""
        kind = self.entry.get("trains", "each")
        options = [*self.common, *options, *self.extra, f"env.save_dir={folder}"]
        if kind == "once":
            checkpoint = f"model_config.clipbert.weights.clipbert={self.train_once()}"
            options = [o for o in options if not o.startswith("model_config.clipbert.weights.clipbert=")]
            cost = run_mmf([*options, checkpoint, "run_type=test"], folder.with_suffix(".log"))
        elif kind == "cost":
            short = [
                f"training.max_updates={NUM_COST_UPDATES}",
                "training.log_interval=2",
                "run_type=train",
                "training.evaluation_interval=100000",
                "training.num_workers=0",
            ]
            cost = run_mmf([*options, *short], folder.with_suffix(".log"))
            return {**cost, "step_seconds": read_step_seconds(folder)}
        else:
            cost = run_mmf([*options, "run_type=train_val_test"], folder.with_suffix(".log"))
        measured = read_final_metrics(folder, self.dataset, "test")
        return {**cost, **{name: measured[key] for name, key in self.metrics.items()}}

    def train_once(self) -> Path:
        """Return the checkpoint that all rows of a figure test, trained where there is none of these options."""
        trained, options = self.save / "trained", [*self.common, *self.extra]
        final, made_with = trained / "clipbert_final.pth", trained / "options.json"
        if not (
            final.exists()
            and made_with.exists()
            and json.loads(made_with.read_text(encoding="utf-8")) == options
        ):
            print("    trains first", flush=True)
            run_mmf([*options, f"env.save_dir={trained}", "run_type=train"], self.save / "trained.log")
            made_with.write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")
        return final


def main() -> None:
    """Parse the arguments, run, print the table, draw the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tables = sorted(json.loads((ABLATIONS / "index.json").read_text(encoding="utf-8")))
    parser.add_argument("table", choices=tables)
    parser.add_argument("--corpus", choices=sorted(CORPORA), default="demo")
    parser.add_argument("--task", choices=sorted(TASKS), default="retrieval")
    parser.add_argument("--start", help="checkpoint of the image-text pre-training")
    parser.add_argument(
        "--weights",
        nargs="*",
        default=[],
        metavar="NAME=FILE",
        help="files of table 5: bert, tsn, imagenet, grid_feat",
    )
    parser.add_argument(
        "--rows", nargs="*", default=["*"], metavar="PATTERN", help="names of rows to run, e.g. 'lse_*'"
    )
    parser.add_argument("--updates", type=int, help="updates of each row, the recipe's without it")
    parser.add_argument("--save", type=Path, default=Path("save/ablations"))
    parser.add_argument(
        "options", nargs="*", help="further options for mmf_run, e.g. dataset_config....data_dir=/data/msrvtt"
    )
    ablation = Ablation(parser.parse_intermixed_args())
    rows = ablation.run()
    table = f"{ablation.title}. {CAPTIONS[ablation.corpus]}\n\n{make_table(ablation.entry, rows)}"
    print(f"\n{table}")
    (ablation.save / "table.md").write_text(table, encoding="utf-8")
    if ablation.name.startswith("figure") and any(row["ours"] for row in rows):
        draw(ablation.title, ablation.entry["columns"][0], rows, ablation.save / f"{ablation.name}.png")
        print(ablation.save / f"{ablation.name}.png")


if __name__ == "__main__":
    main()
