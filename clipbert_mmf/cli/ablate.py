"""``clipbert ablate``: a table or figure of the paper, row by row, our numbers beside the paper's.

A row that has a result is not run again unless its options changed.
"""

from __future__ import annotations

import argparse
import fnmatch
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipbert_mmf.cli.mmf_process import run_mmf
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.configuration import suggest
from clipbert_mmf.json_text import format_json, parse_json
from clipbert_mmf.paths import project_dir
from clipbert_mmf.report.ablations import (
    AblationRow,
    Ablations,
    RowResult,
    draw_ablation,
    format_ablation_table,
    load_ablations,
    summarize_row,
)
from clipbert_mmf.report.run_results import read_final_metrics, read_final_outcomes, read_step_seconds
from clipbert_mmf.scoring.outcomes import Outcomes
from clipbert_mmf.writing import write_text_atomically

#: Updates of a row that measures memory and time.
NUM_COST_UPDATES = 12
_START_KEY = "model_config.clipbert.weights.clipbert"


def run(options: argparse.Namespace) -> int:
    """Run the rows that have no result; print and write the table, draw a figure."""
    ablation = AblationRun.from_options(load_ablations(), options)
    for pattern in options.rows:
        if not any(_matches(name, [pattern]) for name in ablation.rows):
            raise ValueError(
                f"--rows {pattern}: {options.table} has no such row; it has {', '.join(ablation.rows)}"
            )
    if options.show:
        commands = ablation.list_commands(options.rows)
        print_result(options, commands, map(shlex.join, commands.values()))
        return 0
    results = ablation.run(options.rows)
    table = f"{ablation.title}. {ablation.caption}\n\n{format_ablation_table(ablation.columns, results)}"
    write_text_atomically(table, ablation.save / "table.md")
    lines = ["", table]
    if options.table.startswith("figure") and any(one.ours for one in results):
        picture = ablation.save / f"{options.table}.png"
        draw_ablation(ablation.title, ablation.columns[0], results, picture)
        lines.append(str(picture))
    content = {
        one.name: {
            "ours": one.ours,
            "spread": one.spread,
            "intervals": one.intervals,
            "difference": one.difference,
            "paper": one.row.paper,
        }
        for one in results
    }
    print_result(options, content, lines)
    return 0


@dataclass(frozen=True)
class AblationRun:
    """One table or figure on one corpus and task.

    Attributes:
        title: the table's title, with dataset and corpus.
        caption: sentence for the reader of the table.
        columns: titles of the labels.
        kind: ``runs`` of the table.
        rows: name to row.
        row_options: name to the row's overrides as options of ``mmf_run``; None where a weights file is not
            given.
        defaults: overrides of every row as options of ``mmf_run``.
        common: options of every row before its overrides.
        extra: options of every row after its overrides.
        metrics: name in the table to name in ``metrics.jsonl``.
        save: folder of all rows.
        seeds: of each row; a row of the recipe's own seed alone is ``(None,)``.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    kind: str
    rows: dict[str, AblationRow]
    row_options: dict[str, list[str] | None]
    defaults: list[str]
    common: list[str]
    extra: list[str]
    metrics: dict[str, str]
    save: Path
    seeds: tuple[int | None, ...] = (None,)

    @classmethod
    def from_options(cls, ablations: Ablations, options: argparse.Namespace) -> AblationRun:
        """Return what the command line asks for.

        Args:
            ablations: all tables.
            options: with the attributes of ``add_arguments``.
        """
        table, task = ablations.tables[options.table], ablations.tasks[options.task]
        corpus = ablations.corpora[options.corpus]
        files = {"pretrained": options.start} if options.start else {}
        for pair in options.weights:
            name, separator, file = pair.partition("=")
            if not separator:
                raise ValueError(f"--weights {pair}: expected NAME=FILE, such as bert=bert-base-uncased")
            if name not in ablations.weight_names:
                raise ValueError(
                    f"--weights {pair}: no row needs '{name}'{suggest(name, ablations.weight_names)}; allowed are "
                    f"{', '.join(ablations.weight_names)}"
                )
            files[name] = file
        recipe = project_dir() / "clipbert" / "configs" / task.dataset / f"{corpus.recipe}.yaml"
        common = [f"config={recipe}", "model=clipbert", f"dataset={task.dataset}"]
        if options.start:
            common.append(f"{_START_KEY}={options.start}")
        if options.updates:
            common += [
                f"training.max_updates={options.updates}",
                f"training.evaluation_interval={options.updates}",
            ]
        if options.user_dir:
            common.append(f"env.user_dir={Path(options.user_dir).resolve()}")

        def write(overrides: dict[str, Any]) -> list[str] | None:
            return ablations.write_overrides(overrides, task.dataset, corpus.frame_px, files)

        return cls(
            title=f"{table.title} ({task.dataset}, {options.corpus} corpus)",
            caption=corpus.caption,
            columns=table.columns,
            kind=table.runs,
            rows=table.rows,
            row_options={
                name: write({**table.defaults, **row.overrides}) for name, row in table.rows.items()
            },
            defaults=write(table.defaults) or [],
            common=common,
            extra=options.options,
            metrics=task.metrics,
            save=options.save / f"{options.table}_{options.task}_{options.corpus}",
            seeds=tuple(range(1, options.seeds + 1)) if options.seeds > 1 else (None,),
        )

    def list_commands(self, patterns: list[str]) -> dict[str, list[str]]:
        """Return the command lines that ``run`` starts, by row.

        Rows whose weights files are not given are left out.

        Args:
            patterns: select rows by name, as a shell has them.
        """
        commands: dict[str, list[str]] = {}
        for seed in self.seeds:
            if self.kind == "once":
                trained = self._find_folder("trained", seed)
                commands[trained.name] = ["mmf_run", *self._write_training_options(seed)]
            for name, own in self.row_options.items():
                if own is not None and _matches(name, patterns):
                    folder = self._find_folder(name, seed)
                    commands[folder.name] = ["mmf_run", *self._write_row_options(folder, own, seed)]
        return commands

    def _find_folder(self, name: str, seed: int | None) -> Path:
        """Return the folder of a row; the first seed's is that of a row of one seed."""
        return self.save / (name if seed in (None, 1) else f"{name}_seed{seed}")

    def run(self, patterns: list[str]) -> list[RowResult]:
        """Run every wanted row that has no result; progress goes to stderr.

        Args:
            patterns: select rows by name, as a shell has them.

        Returns:
            All rows in order, with the results that there are.
        """
        results: list[RowResult] = []
        for number, (name, row) in enumerate(self.rows.items(), 1):
            own = self.row_options[name]
            ours = [] if own is None else [self._read_saved(name, own, seed) for seed in self.seeds]
            if own is None and _matches(name, patterns):
                sys.stderr.write(f"[{number}/{len(self.rows)}] {' '.join(row.label)}\n")
                sys.stderr.write("    left out: its weights file was not given (--weights)\n")
            elif own is not None and _matches(name, patterns):
                for place, seed in enumerate(self.seeds):
                    if not ours[place]:
                        told = "" if seed is None else f", seed {seed}"
                        sys.stderr.write(f"[{number}/{len(self.rows)}] {' '.join(row.label)}{told}\n")
                        ours[place] = self._run_and_save(name, own, seed)
            done = [(one, seed) for one, seed in zip(ours, self.seeds, strict=False) if one]
            outcomes = [self._read_outcomes(name, seed) for _, seed in done]
            results.append(summarize_row(name, row, [one for one, _ in done], outcomes, results))
        self.save.mkdir(parents=True, exist_ok=True)
        return results

    def _run_and_save(self, name: str, own: list[str], seed: int | None) -> dict[str, float]:
        folder = self._find_folder(name, seed)
        ours = self.run_row(folder, own, seed)
        saved = {"options": self._describe(own, seed), "ours": ours}
        write_text_atomically(format_json(saved, 1) + "\n", folder / "result.json")
        return ours

    def _read_outcomes(self, name: str, seed: int | None) -> dict[str, Outcomes]:
        """Return the outcomes of a row's metrics by their name in the table; none for a row that measures cost."""
        folder = self._find_folder(name, seed)
        if self.kind == "cost" or not (folder / "metrics.jsonl").is_file():
            return {}
        found = read_final_outcomes(folder, "test")
        return {short: found[key] for short, key in self.metrics.items() if key in found}

    def run_row(self, folder: Path, own: list[str], seed: int | None = None) -> dict[str, float]:
        """Train and test one row, or only test or measure it, as the table asks."""
        if self.kind == "once":
            self._train_once(seed)
            # A test of before would stay the folder's result: a further one gets a folder inside it.
            shutil.rmtree(folder, ignore_errors=True)
        cost = run_mmf(self._write_row_options(folder, own, seed), folder.with_suffix(".log"))
        if self.kind == "cost":
            return {**cost._asdict(), "step_seconds": read_step_seconds(folder)}
        measured = read_final_metrics(folder, "test")
        return {**cost._asdict(), **{name: measured[key] for name, key in self.metrics.items()}}

    def _describe(self, own: list[str], seed: int | None) -> list[str]:
        """Return the options that a result depends on."""
        return [*self.common, *own, *self.extra, *_write_seed(seed)]

    def _write_row_options(self, folder: Path, own: list[str], seed: int | None) -> list[str]:
        # A row of before that was made with these options is read and not run.
        options = [*self._describe(own, seed), f"env.save_dir={folder}", "env.overwrite=true"]
        if self.kind == "once":
            trained = self._find_folder("trained", seed) / "clipbert_final.pth"
            options = [option for option in options if not option.startswith(f"{_START_KEY}=")]
            return [*options, f"{_START_KEY}={trained}", "run_type=test"]
        if self.kind == "cost":
            return [
                *options,
                f"training.max_updates={NUM_COST_UPDATES}",
                "training.log_interval=2",
                "run_type=train",
                "training.evaluation_interval=100000",
                "training.num_workers=0",
            ]
        return [*options, "run_type=train_val_test"]

    def _write_training_options(self, seed: int | None) -> list[str]:
        folder = self._find_folder("trained", seed)
        options = self._describe(self.defaults, seed)
        return [*options, f"env.save_dir={folder}", "env.overwrite=true", "run_type=train"]

    def _read_saved(self, name: str, own: list[str], seed: int | None) -> dict[str, float]:
        """Return a row's result, or nothing where there is none or it was made with other options."""
        path = self._find_folder(name, seed) / "result.json"
        saved = parse_json(path.read_text(encoding="utf-8")) if path.exists() else {}
        return saved["ours"] if saved.get("options") == self._describe(own, seed) else {}

    def _train_once(self, seed: int | None) -> None:
        """Train the model that all rows of a figure test, where there is none of these options."""
        trained, options = self._find_folder("trained", seed), self._describe(self.defaults, seed)
        final, made_with = trained / "clipbert_final.pth", trained / "options.json"
        is_known = made_with.exists() and parse_json(made_with.read_text(encoding="utf-8")) == options
        if not (final.exists() and is_known):
            sys.stderr.write("    trains first\n")
            run_mmf(self._write_training_options(seed), trained.with_suffix(".log"))
            write_text_atomically(format_json(options, 1) + "\n", made_with)


def _write_seed(seed: int | None) -> list[str]:
    return [] if seed is None else [f"training.seed={seed}"]


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
