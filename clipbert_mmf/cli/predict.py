"""``clipbert predict``: the predictions of a run's model over its dataset, through ``mmf_run``, or over a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from clipbert_mmf.cli.engine_options import choose_mapper, count_in
from clipbert_mmf.cli.mmf_process import run_mmf
from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.cli.values import require_folder
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import RecipeError, refuse_old_run
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.inference.sources import read_run
from clipbert_mmf.inference.table_predictions import predict_table


def run(options: argparse.Namespace) -> int:
    """Run the prediction and print the paths of its files."""
    if options.table is not None:
        return predict_rows(options)
    for name in ("ray", "workers"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"--{name} predicts the rows of a table: add --table TABLE. A run's dataset is predicted on several "
                f"GPUs of this machine by torchrun and mmf_run"
            )
    if options.device != "cpu":
        raise ValueError("--device is for --table; mmf_run takes training.device=cuda")
    out = (options.out or options.run_dir / "predictions").resolve()
    before = set(out.glob("*.json"))
    run_mmf(make_options(options, out), out / "log" / "predict.log")
    files = sorted(str(path) for path in set(out.glob("*.json")) - before)
    if not files:
        raise RuntimeError(f"mmf_run wrote no predictions into {out}; see {out / 'log' / 'predict.log'}")
    print_result(options, {"predictions": files}, files)
    return 0


def predict_rows(options: argparse.Namespace) -> int:
    """Predict the rows of ``--table`` and print what was written."""
    if options.options or options.split:
        given = options.options[0] if options.options else f"--split {options.split}"
        raise ValueError(f"{given} is for a run's dataset; with --table all rows are predicted, leave it out")
    mapper = choose_mapper(options) or map
    model = ClipBert.from_pretrained(str(options.run_dir), device=options.device, dataset=options.dataset)
    out = options.out or options.run_dir / "predictions" / f"{options.table.stem}.jsonl"
    if out.is_dir():
        raise IsADirectoryError(f"--out '{out}' is a folder; expected a file, such as {out / 'out.jsonl'}")
    with tqdm(desc="videos", unit="video", disable=None) as bar:
        report = predict_table(model, options.table, out, options.data_dir, count_in(bar, mapper))
    content = {"predictions": str(out), "num_rows": report.num_rows, "unreadable": report.unreadable}
    left = f", {len(report.unreadable)} videos unreadable" if report.unreadable else ""
    print_result(options, content, [f"wrote {out}: {report.num_rows} rows{left}"])
    return 0


def make_options(options: argparse.Namespace, out: Path) -> list[str]:
    """Return the command line of ``mmf_run``.

    Args:
        options: the verb's options.
        out: absolute path of the folder for predictions.

    Raises:
        RecipeError: if the run is of another model than ClipBERT, or has no such dataset.
    """
    file = options.run_dir / "config.yaml"
    if not options.run_dir.is_dir():
        raise FileNotFoundError(f"run '{options.run_dir}': no such folder")
    config, checkpoint = read_yaml(file), read_run(options.run_dir).checkpoint.path
    if config.get("model") != "clipbert":
        raise RecipeError(
            f"{file} is of model '{config.get('model')}'; clipbert predict takes runs of model=clipbert, use "
            f"mmf_predict for others"
        )
    refuse_old_run(config, str(file))
    datasets = [name.strip() for name in str(config.get("datasets") or "").split(",")]
    if options.dataset is not None and options.dataset not in datasets:
        raise RecipeError(f"{file} has no dataset '{options.dataset}'; it has {datasets}")
    chosen = [options.dataset] if options.dataset else datasets
    weights = "model_config.clipbert.weights"
    words = [
        f"config={file.resolve()}",
        "model=clipbert",
        f"dataset={','.join(chosen)}",
        f"run_type={options.split or 'test'}",
        "evaluation.predict=true",
        f"env.save_dir={out / 'log'}",
        f"env.report_dir={out}",
        "checkpoint.resume=false",
        "checkpoint.resume_file=null",
        # The run's checkpoint holds everything; files that it started from may be gone.
        f"{weights}.clipbert={checkpoint.resolve()}",
        f"{weights}.backbone=null",
        f"{weights}.transformer=null",
    ]
    if options.data_dir:
        data = require_folder(options.data_dir, "--data-dir")
        words += [f"dataset_config.{name}.data_dir={data}" for name in chosen]
    if options.user_dir:
        words.append(f"env.user_dir={Path(options.user_dir).resolve()}")
    return [*words, *options.options]
