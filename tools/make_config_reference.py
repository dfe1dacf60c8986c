"""Writes docs/configuration.md from the dataclasses that read the keys and the YAML files that hold their defaults.

A comment of the YAML describes a key, else the field's entry in the docstring of its dataclass. A test checks
that the page is up to date.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clipbert_mmf.models.config import BackboneConfig, HeadConfig, ModelConfig
from clipbert_mmf.modules.backbones.grid_resnet import GridResnetOptions
from clipbert_mmf.tasks.dataset_config import DatasetConfig
from clipbert_mmf.tasks.items import TextsPerItem
from clipbert_mmf.tasks.task import TASKS
from clipbert_mmf.training.options import SECTIONS
from clipbert_mmf.transforms.tokens import TextOptions
from clipbert_mmf.video.clips import ClipOptions, ImageOptions

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "configuration.md"
_LINE = re.compile(r"^(?P<indent> *)(?P<item>- )?(?P<key>[\w]+):(?: (?P<value>.*))?$")


@dataclass(frozen=True)
class Part:
    """One table of the page.

    Attributes:
        heading: title of the table.
        section: section that the keys are shown relative to; empty shows them in full.
        file: YAML with the defaults; None for a table of the dataclasses alone.
        classes: prefix of keys -> dataclasses that read them.
        note: sentence below the heading.
    """

    heading: str
    section: str = ""
    file: str | None = None
    classes: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    note: str = ""


def list_parts() -> list[Part]:
    """Return the tables of the page, in order."""
    items = {
        kind.Config: None for task in TASKS.values() for kind in (task.training_items, task.evaluation_items)
    }
    return [
        Part(
            "The model",
            "model_config.clipbert",
            "configs/models/clipbert/defaults.yaml",
            {"": (ModelConfig,)},
        ),
        Part(
            "A dataset of videos",
            "dataset_config.msrvtt_qa",
            "configs/datasets/msrvtt_qa/defaults.yaml",
            {"": (DatasetConfig,)},
            "`annotations.<split>[]` is one file of a list; a plain file name stands for `{file: name}`.",
        ),
        Part(
            "A dataset of one's own",
            "dataset_config.video_text_csv",
            "configs/datasets/video_text_csv/defaults.yaml",
        ),
        Part(
            "The items of a task",
            classes={"": tuple(items), "texts_per_item": (TextsPerItem,)},
            note="Further keys of `dataset_config.<dataset>`; each task has its own defaults.",
        ),
        Part(
            "Processors",
            classes={"": (TextOptions, ClipOptions, ImageOptions)},
            note=(
                "Keys of `processors.<processor>.params`: of `clipbert_text`, of `clipbert_video`, and of "
                "`clipbert_image`, "
                "which reads `image_size` and `cache_dir` only."
            ),
        ),
        Part("The trainer", file="configs/training/clipbert.yaml", classes=dict(SECTIONS)),
    ]


def list_yaml_keys(text: str) -> list[tuple[str, str, str]]:
    """Return (dotted key, default, comment) of each key with a value; comments above a key are its own."""
    rows: list[tuple[str, str, str]] = []
    path: list[tuple[int, str]] = []
    comments: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comments.append(stripped.lstrip("# "))
            continue
        match = _LINE.match(line)
        if not match or match["item"]:
            continue
        depth = len(match["indent"])
        path = [entry for entry in path if entry[0] < depth] + [(depth, match["key"])]
        dotted = ".".join(key for _, key in path)
        if match["value"] or comments:
            rows.append((dotted, match["value"] or "", " ".join(comments)))
        comments = []
    return rows


def list_fields(cls: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (dotted key, default, description) of each field of a dataclass and of those inside it."""
    described, hints = read_attributes(cls), typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        key, text, inner = f"{prefix}{entry.name}", described.get(entry.name, ""), hints[entry.name]
        arguments = typing.get_args(inner)
        if issubclass(cls, BackboneConfig) and entry.name == "options":
            yield from list_fields(GridResnetOptions, prefix)
        elif issubclass(cls, HeadConfig) and entry.name == "options":
            continue
        elif dataclasses.is_dataclass(inner):
            yield from list_fields(inner, f"{key}.")
        elif typing.get_origin(inner) is dict and arguments and _find_dataclass(arguments[1]):
            is_list = typing.get_origin(arguments[1]) is tuple
            yield from list_fields(
                _find_dataclass(arguments[1]), f"{key}.<split>[]." if is_list else f"{key}.<dataset>."
            )
        else:
            yield key, _show_default(entry), text


def _find_dataclass(kind: Any) -> Any:
    """Return the dataclass in ``X``, ``tuple[X, ...]`` or ``X | None``; None without one."""
    if isinstance(kind, type) and not isinstance(kind, types.GenericAlias):
        return kind if dataclasses.is_dataclass(kind) else None
    return next(filter(None, map(_find_dataclass, typing.get_args(kind))), None)


def _show_default(entry: dataclasses.Field[Any]) -> str:
    if entry.default is dataclasses.MISSING:
        return ""
    value = list(entry.default) if isinstance(entry.default, tuple) else entry.default
    return yaml.safe_dump(value, default_flow_style=True).splitlines()[0]


def read_attributes(cls: type) -> dict[str, str]:
    """Return field -> description, from the ``Attributes`` section of a dataclass's docstring and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, section = (base.__doc__ or "").partition("Attributes:\n")
        section = re.split(r"\n\s*\n", section)[0]
        for match in re.finditer(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", section, re.MULTILINE):
            text = re.sub(r"\bNone\b", "null", re.sub(r"\s+", " ", match[2])).replace("``", "`")
            found[match[1]] = text[0].upper() + text[1:]
    return found


def list_rows(part: Part) -> list[tuple[str, str, str]]:
    """Return the rows of a table: the YAML's keys in its order, then those that only the dataclasses have."""
    fields: dict[str, tuple[str, str]] = {}
    for prefix, classes in part.classes.items():
        for cls in classes:
            for key, value, text in list_fields(cls, f"{prefix}." if prefix else ""):
                fields.setdefault(key, (value, text))
    rows: dict[str, tuple[str, str]] = {}
    text = (ROOT / part.file).read_text(encoding="utf-8") if part.file else ""
    for key, value, comment in list_yaml_keys(text):
        if (value or comment) and key not in ("model_config", "dataset_config", part.section):
            shown = key.removeprefix(f"{part.section}.") if part.section else key
            rows[shown] = (value, comment or fields.get(shown, ("", ""))[1])
    sections = {key.rpartition(".")[0] for key in [*rows, *fields]}
    rows.update({key: row for key, row in fields.items() if key not in rows and key not in sections})
    return [(key, *row) for key, row in rows.items()]


def render() -> str:
    """Return the page."""
    lines = [
        "# Configuration",
        "",
        "Made by `tools/make_config_reference.py` from the YAML files and the dataclasses that read them. "
        "Any key can be set on "
        "the command line: `model_config.clipbert.fold=mean`. A key that nothing reads is an error that "
        "names the nearest one.",
        "",
        "Values are YAML: `training.seed=null`, `optimizer.params.betas=[0.9,0.98]`, and, in quotes of the shell, "
        "whole sections: `'training.early_stop={enabled: true, patience: 500}'`. A section in braces is merged "
        "into what is there, a list replaces it; `evaluation.metrics[0]=clipbert_answers` replaces one entry. "
        "`optimizer.params.betas=null` leaves out an argument that another optimizer does not take. "
        "An option has no spaces around `=`; of two options for one key the last is used, with a warning.",
    ]
    for part in list_parts():
        lines += ["", f"## {part.heading}", ""]
        lines += [f"`{part.file}`", ""] if part.file else []
        lines += [part.note, ""] if part.note else []
        lines += ["| key | default | |", "| --- | --- | --- |"]
        for key, value, text in list_rows(part):
            shown = f"`{value}`".replace("|", "\\|") if value else ""
            # Outside of code, Markdown takes <dataset> for a tag and shows nothing.
            text = re.sub(r"(`[^`]*`)|<", lambda found: found[1] or "&lt;", text.replace("|", "\\|"))
            lines.append(f"| `{key}` | {shown} | {text} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    OUT.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{OUT}\n")
