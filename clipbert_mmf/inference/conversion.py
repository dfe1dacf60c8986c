"""Writes a trained model for others: the released ClipBERT's state dict, a Hugging Face style folder, ONNX graphs."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import torch

from clipbert_mmf.inference.model_card import describe_model, replace_use
from clipbert_mmf.inference.onnx_export import describe_onnx_use, save_onnx
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.sources import find_model
from clipbert_mmf.weights.export import to_released_state
from clipbert_mmf.writing import naming

logger = logging.getLogger(__name__)

#: Values of ``--to``.
TARGETS = ("folder", "released", "onnx")


def convert_weights(
    source: str | Path, out: str | Path, to: str = "folder", replace: bool = False, **options: Any
) -> Path:
    """Write a trained model for others.

    Args:
        source: the folder of a run, one of its checkpoints, a saved folder, or a hub name.
        out: the folder or file to write; it appears when it is complete.
        to: ``folder`` (``ClipBert.from_pretrained`` reads it), ``released`` (a state dict for the released
            code) or ``onnx`` (a folder of ``onnx_export.save_onnx``).
        replace: whether an existing file or folder may be replaced.
        **options: options of ``ClipBert.from_pretrained``.

    Returns:
        The file or folder that was written.

    Raises:
        ValueError: for an unknown target, or as ``from_pretrained``, ``to_released_state`` and ``save_onnx``
            raise it.
        FileExistsError: if ``out`` exists and may not be replaced.
    """
    if to not in TARGETS:
        raise ValueError(f"target is '{to}'; allowed are {list(TARGETS)}")
    out = Path(out).expanduser()
    if out.exists() and not replace:
        raise FileExistsError(
            f"{out} exists already; choose another name, or replace it with --replace (in Python, replace=True)"
        )
    path = find_model(source, options.get("revision"))
    model = ClipBert.from_pretrained(path, **options)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".part")
    _remove(partial)
    try:
        if to == "released":
            state = to_released_state(model.network)
            with naming(out):
                torch.save(state, partial)
        else:
            card = describe_model(model.recipe, path, options.get("config"), options.get("dataset"))
            if to == "onnx":
                save_onnx(model, partial)
                card = replace_use(card, describe_onnx_use(model))
            else:
                model.save_pretrained(partial)
            (partial / "README.md").write_text(card, encoding="utf-8")
    except BaseException:
        _remove(partial)
        raise
    _remove(out)
    partial.replace(out)
    logger.info("wrote %s", out)
    return out


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
