"""Writes a model card from a run's own files: configuration, ``metrics.jsonl``, weights report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import clipbert_mmf
from clipbert_mmf.inference.recipe import Recipe
from clipbert_mmf.inference.settings import read_run_records
from clipbert_mmf.inference.sources import is_saved_folder, read_run
from clipbert_mmf.json_text import parse_json
from clipbert_mmf.scoring.metrics import split_metric_name

_CARD = """\
---
library_name: clipbert_mmf
tags:
- clipbert
- video-text
- {dataset}
---

# ClipBERT, {dataset}

A [ClipBERT](https://arxiv.org/abs/2102.06183) model, trained with clipbert_mmf {version}. It reads a few short clips
of a {media}, each together with the text, and folds the scores of the clips (`{fold}`). Its head is `{head}`.

## Use

```python
from clipbert_mmf.inference.pretrained import ClipBert

model = ClipBert.from_pretrained("{place}")
frames = model.preprocessing.read(open("{media_file}", "rb").read())
scores = model.score_frames(frames[None], ["a text"])
```

## Input

{preprocessing}

## Training

{training}

## Results

{metrics}

## Limits

These numbers are of this run on the data named above, and say nothing of other data. The model repeats what its
training data say of people and places. Whoever publishes it adds the licence of the weights; those of the data and of
the weights it started from apply.
"""


#: Stands in a card for the place of the model.
PLACE = "path/to/this/folder"
_USE_SECTION = re.compile(r"(?<=^## Use\n\n).*?(?=\n\n## )", re.MULTILINE | re.DOTALL)
_TRAINING_KEYS = ("batch_size", "update_frequency", "max_updates", "max_epochs", "precision", "seed")


def describe_model(
    recipe: Recipe, path: Path, config: str | Path | None = None, dataset: str | None = None
) -> str:
    """Return a model's card, from the files of its run; that of a saved folder stays as it is.

    Args:
        recipe: description of the model.
        path: where it was loaded from.
        config: as for ``ClipBert.from_pretrained``.
        dataset: likewise.
    """
    if is_saved_folder(path):
        card = path / "README.md"
        return (
            card.read_text(encoding="utf-8") if card.is_file() else write_model_card(recipe, {}, path, None)
        )
    run = read_run(path, config, dataset)
    update = run.checkpoint.notes.get("num_updates")
    return write_model_card(recipe, run.config, run.folder, int(update) if update else None)


def replace_use(card: str, use: str) -> str:
    """Return a card with another section about use; a card without one stays as it is."""
    return _USE_SECTION.sub(lambda _: use, card, count=1)


def write_model_card(recipe: Recipe, config: Mapping[str, Any], run: Path, update: int | None) -> str:
    """Fill the card.

    Args:
        recipe: description of the model.
        config: configuration of the run.
        run: folder of the run, which holds ``metrics.jsonl`` and ``weights_report.json``.
        update: update after which the checkpoint was written; None where it does not say.
    """
    return _CARD.format(
        dataset=recipe.dataset,
        version=clipbert_mmf.__version__,
        place=PLACE,
        media=recipe.preprocessing.media,
        fold=recipe.model.fold,
        head=recipe.model.head.type,
        media_file={"video": "video.mp4", "image": "image.jpg"}[recipe.preprocessing.media],
        preprocessing=_table("setting", "value", recipe.preprocessing.to_dict()),
        training=_table("setting", "value", _describe_training(recipe, config, run, update)),
        metrics=_describe_metrics(run, update, recipe.dataset),
    )


def _table(left: str, right: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {left} | {right} |", "| --- | --- |"]
    return "\n".join(
        lines + [f"| {key} | {_show(value)} |" for key, value in rows.items() if value is not None]
    )


def _show(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _describe_training(
    recipe: Recipe, config: Mapping[str, Any], run: Path, update: int | None
) -> dict[str, Any]:
    training, optimizer = config.get("training") or {}, config.get("optimizer") or {}
    params = optimizer.get("params") or {}
    section = (config.get("dataset_config") or {}).get(recipe.dataset) or {}
    media = ((section.get("processors") or {}).get("train_media_processor") or {}).get("params") or {}
    model = (config.get("model_config") or {}).get("clipbert") or {}
    weights = {part: path for part, path in (model.get("weights") or {}).items() if path and part != "strict"}
    sources = {part: Path(str(path)).name for part, path in weights.items()}
    return {
        "data": config.get("datasets"),
        "annotation files": ", ".join(_annotation_files(section)) or None,
        "clips x frames in training": f"{media.get('num_clips', 1)} x {media.get('num_frames', 1)}"
        if media
        else None,
        "loss": ", ".join(recipe.model.list_losses()) or None,
        "optimizer": optimizer.get("type"),
        **{key: params.get(key) for key in ("lr", "betas", "weight_decay")},
        "scheduler": (config.get("scheduler") or {}).get("type"),
        **{key: training.get(key) for key in _TRAINING_KEYS},
        "checkpoint of update": update,
        "started from": ", ".join(f"{part}: {name}" for part, name in sources.items()) or "random weights",
        "tensors taken over": _describe_start(run / "weights_report.json"),
    }


def _annotation_files(section: Mapping[str, Any]) -> list[str]:
    sources = [source for split in (section.get("annotations") or {}).values() for source in split or []]
    names = [
        Path(str(source.get("file") if isinstance(source, Mapping) else source)).name for source in sources
    ]
    return list(dict.fromkeys(names))


def _describe_start(path: Path) -> str | None:
    try:
        reports = parse_json(path.read_text(encoding="utf-8"))
        return (
            "; ".join(
                f"{report['part']}: {len(report['used'])} used, {len(report['missing'])} new, "
                f"{len(report['left_over'])} left over, {len(report['wrong_shape'])} of another shape"
                for report in reports
            )
            or None
        )
    except (OSError, ValueError, KeyError, TypeError):  # runs from random weights write none
        return None


def _describe_metrics(run: Path, update: int | None, dataset: str) -> str:
    found = read_metrics(run, update)
    if not found:
        return "The run's `metrics.jsonl` is not there, or has no evaluation of this checkpoint."
    parts = []
    for split, record in found.items():
        own = {name: value for name, value in record["metrics"].items() if f"/{dataset}/" in name}
        rows = {split_metric_name(name)[2]: value for name, value in own.items()}
        parts.append(
            f"Split `{split}`, after update {record.get('update')}:\n\n{_table('metric', 'value', rows)}"
        )
    return "\n\n".join(parts)


def read_metrics(run: Path, update: int | None) -> dict[str, dict[str, Any]]:
    """Return the last evaluation of each split that belongs to a checkpoint.

    Args:
        run: folder of the run; without ``metrics.jsonl`` nothing is returned.
        update: update of the checkpoint; None takes the run's final evaluation, which is of its final
            weights.

    Returns:
        Split to the record of its evaluation.
    """
    found: dict[str, dict[str, Any]] = {}
    for record in read_run_records(run):
        if record.get("split") in ("val", "test") and record.get("metrics"):
            fits = record.get("final") if update is None else record.get("update") == update
            if fits:
                found[record["split"]] = record
    return found
