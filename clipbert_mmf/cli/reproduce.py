"""``clipbert reproduce``: a row of the paper's tables 7 to 9 through ``mmf_run``, and paper against ours."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from clipbert_mmf.cli.check_data import count_splits, read_section
from clipbert_mmf.cli.mmf_process import MMF_RUN, MmfRunError, require_mmf
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.json_text import format_json
from clipbert_mmf.report.reproduction import (
    PaperRow,
    describe_result,
    find_problems,
    format_result,
    load_reproduction,
)
from clipbert_mmf.report.run_results import read_final_metrics
from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.writing import write_text_atomically

#: Options without which a run is another than the row.
_OF_THE_ROW = ("config", "model", "dataset", "run_type", "env.save_dir")


def run(options: argparse.Namespace) -> int:
    """Check data and weights, print the plan, run it, and write paper against ours."""
    content = load_reproduction()
    row = content.rows[options.recipe]
    data = options.data.expanduser().resolve()
    save = (options.save or Path("save/reproduce") / options.recipe).expanduser().resolve()
    for option in options.options:
        if option.partition("=")[0] in _OF_THE_ROW:
            raise ValueError(
                f"{option}: the row decides it; --save FOLDER moves the run, other runs go by mmf_run"
            )
    words = [*row.write_options(data, save, options.weights, options.tokenizer), *options.options]
    problems = find_problems(row, data, options.weights, options.options, options.tokenizer)
    notes: list[str] = []
    if not any(problem.startswith(("--data", "dataset_config.")) for problem in problems):
        wrong, notes = _read_corpus(row, data, options.options)
        problems += wrong
    training, test = row.estimate_hours(content.costs)
    plan = {
        "recipe": options.recipe,
        "table": row.table,
        "command": ["mmf_run", *words],
        "problems": problems,
        "notes": notes,
        "estimated_hours": {"card": content.costs.card, "training": training, "test": test},
        "metric": row.metric_label,
        "paper": row.paper,
        "stated": row.stated,
    }
    figure = "not known here" if row.paper is None else f"{row.paper} %"
    stated = f" (its text: {row.stated})" if row.stated else ""
    lines = [
        f"{row.label}, table {row.table}; the paper's {row.metric_label}: {figure}{stated}",
        f"an estimate for one {content.costs.card}: {f'{training:.1f} h of training' if training else 'no training'}, "
        f"{test:.2f} h of test, validations not counted",
        shlex.join(plan["command"]),
        *(f"problem: {problem}" for problem in problems),
        *(f"note: {note}" for note in notes),
        f"clipbert check-data {row.dataset} data_dir={shlex.quote(str(data))} counts its rows and media",
    ]
    if options.dry_run:
        print_result(options, plan, lines)
        return int(bool(problems))
    _refuse_reuse(row.weights_of, save)
    if problems:
        raise ValueError("\n".join(problems))
    require_mmf()
    sys.stderr.write("\n".join(lines) + "\n")
    # What the run prints is for whoever waits for it; the result alone goes to stdout.
    code = subprocess.run([*MMF_RUN, *words], stdout=sys.stderr.fileno(), check=False).returncode
    if code:
        raise MmfRunError(f"mmf_run ended with {code}; what it printed says why, and {save} has its log")
    result = describe_result(row, read_final_metrics(save, "test"))
    table = format_result(row, result, options.options)
    write_text_atomically(format_json({**plan, "result": result}, 1) + "\n", save / "reproduction.json")
    write_text_atomically(table + "\n", save / "reproduction.md")
    print_result(options, {**plan, "result": result}, ["", table])
    return 0


def _refuse_reuse(tests: str, save: Path) -> None:
    """Raise ``FileExistsError`` where a test would leave its result beside an earlier one."""
    if tests and (save / "metrics.jsonl").exists():
        raise FileExistsError(f"--save {save}: a test of before is there; give another folder, or remove it")


def _read_corpus(row: PaperRow, data: Path, options: list[str]) -> tuple[list[str], list[str]]:
    """Read the annotations and look for their media; return what is wrong, and what differs from the owner's corpus."""
    prefix, spec = f"dataset_config.{row.dataset}.", SPECS[row.dataset]
    if any(option.startswith((f"{prefix}annotations", f"{prefix}media")) for option in options):
        return [], []  # the run reads them, and checks them when it starts
    problems: dict[str, None] = {}
    notes: list[str] = []
    counts = count_splits(spec, read_section(spec, [f"data_dir={data}"]))
    for split in ("test",) if row.weights_of else ("train", "val", "test"):
        found = counts[split]
        if found["problem"]:
            problems[found["problem"]] = None
            continue
        told = f"{split}: {len(found['missing']):,} of {found['media']:,} {spec.media}s are not there"
        if found["missing"]:
            told += f" (such as {', '.join(found['missing'][:3])})"
        if len(found["missing"]) == found["media"]:
            problems[told] = None
        elif found["missing"]:
            notes.append(told)
        for what, word in (("rows", "rows"), ("media", f"{spec.media}s")):
            known = found[f"known_{what}"]
            if known not in (None, found[what]):
                notes.append(f"{split}: {found[what]:,} {word}; the owner's has {known:,}")
    return list(problems), notes
