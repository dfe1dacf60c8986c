"""Arguments that several verbs share."""

from __future__ import annotations

import argparse

from clipbert_mmf.cli.values import count, filled, setting
from clipbert_mmf.paths import project_dir

#: Last line of the help of verbs that print how well something fits.
NOT_CALIBRATED = (
    "Percentages are the model's own and not calibrated: 80 % need not be right in 80 of 100 cases."
)
#: Ways to measure saliency, of ``inference.saliency``, whose module needs PyTorch.
SALIENCY_METHODS = ("grad_cam", "occlusion")
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


def add_settings(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``KEY=VALUE ...``, described as ``what``."""
    parser.add_argument("options", nargs="*", type=setting, metavar="KEY=VALUE", help=what)


def add_ray(parser: argparse.ArgumentParser) -> None:
    """Add ``--ray``, beside ``--workers``."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        type=filled,
        help="work on a Ray cluster: its address, or auto for the one that is there or a new one on this machine; "
        "--workers is its number of tasks at a time (default: one for each core or GPU)",
    )


def read_names(file: str, section: str) -> list[str]:
    """Return the keys of a section of one of ClipBERT's own YAML files, sorted."""
    import yaml  # clipbert install-mmf may come before it

    text = (project_dir() / "clipbert" / "configs" / file).read_text(encoding="utf-8")
    return sorted(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))[section])
