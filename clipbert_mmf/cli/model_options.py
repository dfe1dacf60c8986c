"""Options that every verb with a model shares, and the loading of the model that they name."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable

from clipbert_mmf.cli.values import count
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import refuse_old_run
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.inference.sources import find_local_model
from clipbert_mmf.modules.heads import find_head
from clipbert_mmf.transforms.tokens import load_tokenizer

logger = logging.getLogger(__name__)

#: Last line of the help of verbs that print how well something fits.
NOT_CALIBRATED = (
    "Percentages are the model's own and not calibrated: 80 % need not be right in 80 of 100 cases."
)
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


def check_model_options(options: argparse.Namespace, *checks: Callable[[], object]) -> None:
    """Raise what is wrong with the options of a model, and with other arguments; loads no model.

    Args:
        options: with the attributes of ``add_model_options``.
        checks: each raises what is wrong with another argument. A model or ``--config`` that is not there comes
            first.
    """
    find_local_model(options.model)
    if options.config:
        config = read_yaml(options.config)
        if "datasets" in config:  # of a run; the YAML of a project has no model of its own
            refuse_old_run(config, str(options.config))
    for check in checks:
        check()
    if options.tokenizer:
        load_tokenizer(options.tokenizer, "--tokenizer")


def load_model(options: argparse.Namespace, *checks: Callable[[], object]) -> ClipBert:
    """Load the model that the options name, after a look at everything else that they name.

    Args:
        options: with the attributes of ``add_model_options``, and of ``add_backend`` where the verb has it.
        checks: as of ``check_model_options``.
    """
    check_model_options(options, *checks)
    model = ClipBert.from_pretrained(
        options.model,
        device=options.device,
        config=options.config,
        dataset=options.dataset,
        tokenizer=options.tokenizer,
        answers=options.answers,
        backend=getattr(options, "backend", "auto"),
    )
    if hasattr(options, "backend") and find_head(model.head_type).predicts_words:
        logger.warning(
            "%s is a pre-training run: it has no head for retrieval or questions, and tells how well a caption fits "
            "%ss, nothing else. This trains one: clipbert train --from %s --data FOLDER_WITH_VIDEOS_AND_TABLE",
            options.model,
            model.preprocessing.media,
            options.model,
        )
    return model
