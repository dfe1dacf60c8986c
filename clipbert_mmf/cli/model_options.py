"""Options that every verb with a model shares, and the loading of the model that they name."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipbert_mmf.cli.values import count
from clipbert_mmf.inference.media import require_location
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import refuse_old_run
from clipbert_mmf.inference.settings import read_yaml

MODEL_HELP = "folder of a converted model or of a run, checkpoint, or hub name"


def add_model_options(parser: argparse.ArgumentParser, is_required: bool = True) -> None:
    """Add ``--model``, what describes it, ``--device``, ``--user-dir`` and ``--json``."""
    parser.add_argument("--model", required=is_required, help=MODEL_HELP)
    parser.add_argument("--device", default="cpu", help="such as cpu or cuda:0 (default: cpu)")
    parser.add_argument(
        "--config",
        help="config.yaml of the run, for a checkpoint that lies alone; or a project's YAML, such as "
        "projects/clipbert/configs/msrvtt_retrieval/defaults.yaml, for a released ClipBERT",
    )
    parser.add_argument(
        "--dataset", help="dataset whose head, answers and preprocessing are used, for a run over several"
    )
    parser.add_argument("--tokenizer", help="tokenizer, for a checkpoint that does not hold it")
    parser.add_argument("--answers", help="answer vocabulary (JSON), for a checkpoint that does not hold it")
    add_user_dir(parser)
    add_json(parser)


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add ``--backend``, for verbs that read videos."""
    parser.add_argument(
        "--backend",
        default="auto",
        help="decoder: auto, pyav, decord, torchcodec or one of your own (default: auto, which is pyav)",
    )


def add_user_dir(parser: argparse.ArgumentParser) -> None:
    """Add ``--user-dir``, which ``main`` imports before the verb runs."""
    parser.add_argument(
        "--user-dir",
        metavar="DIR",
        help="package with heads, folds, decoders or tasks of your own (default: $MMF_USER_DIR)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_seeds(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--seeds``, how often ``what`` is trained."""
    parser.add_argument(
        "--seeds",
        type=count(),
        default=1,
        metavar="N",
        help=f"train {what} N times, with the seeds 1 to N; tables show mean and spread (default: 1)",
    )


def check_paths(options: argparse.Namespace) -> None:
    """Raise for a video that is not there before the model is loaded; what is wrong with ``--config`` comes first.

    Args:
        options: with the attributes of ``add_model_options`` and ``video``.
    """
    if not Path(options.model).expanduser().exists():
        return  # loading says so, or fetches it from the hub
    if options.config:
        config = read_yaml(options.config)
        if "datasets" in config:  # of a run; the YAML of a project has no model of its own
            refuse_old_run(config, str(options.config))
    require_location(options.video)


def load_model(options: argparse.Namespace) -> ClipBert:
    """Load the model that the options name.

    Args:
        options: with the attributes of ``add_model_options``, and of ``add_backend`` where the verb has it.
    """
    return ClipBert.from_pretrained(
        options.model,
        device=options.device,
        config=options.config,
        dataset=options.dataset,
        tokenizer=options.tokenizer,
        answers=options.answers,
        backend=getattr(options, "backend", "auto"),
    )
