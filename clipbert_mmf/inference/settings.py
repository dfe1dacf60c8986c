"""Reads configuration files without MMF.

A run's saved ``config.yaml``, and the model files of ``configs/``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from clipbert_mmf.json_text import parse_json
from clipbert_mmf.models.config import SECTION, ModelConfig, parse_model_config
from clipbert_mmf.paths import find_config
from clipbert_mmf.shown_text import escape_text
from clipbert_mmf.training.run_folder import list_evaluation_folders


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines; none without the file.

    A line that a kill cut off is skipped.
    """
    entries: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            entry = parse_json(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def read_run_records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run, then those of later evaluations of its weights, the newest last."""
    records = read_json_lines(folder / "metrics.jsonl")
    for evaluation in list_evaluation_folders(folder):
        found = read_json_lines(evaluation / "metrics.jsonl")
        records += [record for record in found if _is_of(folder, record.get("checkpoint"), evaluation)]
    return records


def _is_of(folder: Path, checkpoint: Any, evaluation: Path) -> bool:
    """Return whether an evaluation in a run's folder is of that run's weights."""
    config = evaluation / "config.yaml"
    if checkpoint is None and config.is_file():
        section: Any = read_yaml(config).get("model_config", {}).get("clipbert", {})
        checkpoint = (section.get("weights") or {}).get("clipbert")
    if checkpoint is None:
        return False
    path, folder = Path(str(checkpoint)), folder.resolve()
    if path.exists():
        return path.resolve().parent in (folder, folder / "models")
    # The run's folder has been moved since: its last names still tell.
    holder = path.parent.parent if path.parent.name == "models" else path.parent
    return holder.name == folder.name


class RecipeError(ValueError):
    """The description of a model is missing, damaged or incomplete; the message says what to give."""


#: Largest configuration file, and most values in it where each mention of an alias counts.
_MAX_BYTES, _MAX_VALUES = 16 << 20, 1_000_000


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file with the files it includes, the later ones winning.

    Files of ours, ``projects/...`` and ``configs/...``, are found from any directory.

    Raises:
        FileNotFoundError: if it, or a file it includes, is not there.
        RecipeError: if it is not a YAML mapping, or includes itself.
    """
    return _read_yaml(path, ())


def _read_yaml(path: str | Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Return the content of a file; ``above`` are those that include it."""
    path = Path(path).expanduser()
    try:
        path = path if path.exists() else find_config(path) or path
        if not path.is_file():
            raise FileNotFoundError(f"configuration '{escape_text(str(path))}': no such file")
        own = path.resolve()
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # a name that no file can have, or a link to itself
        raise RecipeError(
            f"configuration '{escape_text(str(path)[:200])}': {getattr(error, 'strerror', None) or error}"
        ) from error
    if own in above:
        raise RecipeError(f"{path} includes itself: {' includes '.join(map(str, (*above, own)))}")
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise RecipeError(f"{path} has {size} bytes, which is no configuration")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if _count_values(content, {}) > _MAX_VALUES:
            raise RecipeError(f"{path} has more than {_MAX_VALUES} values, each mention of an alias counted")
    except RecursionError:
        raise RecipeError(f"{path} is nested too deep to be a configuration") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise (
            error
            if isinstance(error, RecipeError)
            else RecipeError(f"{path} is not a YAML file: {' '.join(str(error).split())}")
        ) from error
    if not isinstance(content, dict):
        raise RecipeError(
            f"{path} is not a configuration: it holds {type(content).__name__}, expected a mapping"
        )
    merged: dict[str, Any] = {}
    includes: Any = content.pop("includes", None) or []
    if not isinstance(includes, list) or not all(
        isinstance(entry, str) for entry in cast(list[Any], includes)
    ):
        raise RecipeError(f"{path}: includes is {str(includes)[:200]!r}; expected a list of files")
    for include in cast(list[str], includes):
        beside = path.parent / include
        merged = merge(merged, _read_yaml(beside if os.path.isfile(beside) else include, (*above, own)))
    return merge(merged, content)


def _count_values(value: Any, known: dict[int, int]) -> int:
    """Return how many values there are where each mention of an alias is one of its own."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = _MAX_VALUES + 1  # until it is counted: one that contains itself has no end
        parts: Any = (
            cast(dict[Any, Any], value).values() if isinstance(value, dict) else cast(list[Any], value)
        )
        known[id(value)] = 1 + sum(_count_values(part, known) for part in parts)
    return known[id(value)]


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes``, section by section; neither is changed."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def load_model_config(path: str | Path) -> ModelConfig:
    """Read ``model_config.clipbert`` of a configuration file; absent keys keep the paper's values.

    Raises:
        FileNotFoundError: if the file is not there.
        RecipeError: if the file has no such section.
        ConfigurationError: if the section has a key or a value that cannot be used.
    """
    section = select(read_yaml(path), SECTION, str(path))
    return parse_model_config(section, f"{path}: {SECTION}")


def select(config: Mapping[str, Any], key: str, where: str) -> Any:
    """Return the value at a dotted key.

    Raises:
        RecipeError: if the key is absent or null; names ``where`` it should be.
    """
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or value.get(part) is None:
            raise RecipeError(f"{where} has no {key}; is it the configuration of a clipbert run?")
        value = value[part]
    return value
