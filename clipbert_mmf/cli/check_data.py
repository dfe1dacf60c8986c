"""``clipbert check-data``: the rows and media of a prepared corpus are counted and compared with the owner's counts."""

from __future__ import annotations

import argparse
import re
from typing import Any

import yaml

from clipbert_mmf.cli.printing import print_result
from clipbert_mmf.configuration import choose
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.paths import config_dir
from clipbert_mmf.tasks.dataset_config import SPLITS, parse_dataset_config
from clipbert_mmf.tasks.dataset_files import MediaIdentity, find_data_dir, find_media, load_split
from clipbert_mmf.tasks.datasets import SPECS, DatasetSpec
from clipbert_mmf.tasks.known_counts import KNOWN_COUNTS
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.stores.open import open_store

_REFERENCE = re.compile(r"\$\{dataset_config\.(\w+)\.([\w.]+)\}")


def run(options: argparse.Namespace) -> int:
    """Print the counts of each split; return 0 if they are the known ones and every medium is there, else 1."""
    spec = choose("DATASET", options.dataset, SPECS)
    content = count_splits(spec, read_section(spec, options.options))
    print_result(options, content, [_describe(split, spec, one) for split, one in content.items()])
    return 0 if all(one["is_good"] for one in content.values()) else 1


def count_splits(spec: DatasetSpec, section: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for each split its rows, its media, names of those that are not there, the known counts and what is wrong.

    Args:
        spec: row of the table of datasets.
        section: from ``read_section``.
    """
    config, task, _ = parse_dataset_config(section, spec)
    root = find_data_dir(config.data_dir, spec)
    stores: dict[Any, Any] = {}

    def resolve(location: str | tuple[str, ...], name: str) -> str | None:
        if location not in stores:
            places = location if isinstance(location, str) else list(location)
            stores[location] = open_store(places, media=spec.media)
        return stores[location].resolve(name)

    identify = MediaIdentity(config, root, spec, resolve)
    content: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        known = KNOWN_COUNTS.get(spec.name, {}).get(split, (None, None))
        found: dict[str, Any] = {"rows": None, "media": None, "missing": None, "problem": ""}
        try:
            records = load_split(config, root, spec, task, split, identify)
            location, names = find_media(config, root, spec, split), records.media_keys
            keys = {names[n]: resolve(location, names[n]) for n in range(len(names))}
            missing = sorted(name for name, key in keys.items() if key is None)
            media = {key or name for name, key in keys.items()}  # a medium may have several names
            found.update(rows=len(records), media=len(media), missing=missing)
        except (ValueError, OSError, MediaError) as error:
            found["problem"] = str(error)
        wanted = {"rows": known[0], "media": known[1]}
        differs = [name for name, number in wanted.items() if number not in (None, found[name])]
        content[split] = {
            **found,
            "known_rows": known[0],
            "known_media": known[1],
            "is_good": not (found["problem"] or found["missing"] or differs),
        }
    return content


def read_section(spec: DatasetSpec, words: list[str]) -> dict[str, Any]:
    """Return ``dataset_config.<dataset>``, its defaults with what the command line sets.

    Raises:
        ValueError: for a word that is no ``key=value``, or without ``data_dir``.
    """
    file = spec.config or config_dir() / "datasets" / spec.name / "defaults.yaml"
    section = read_yaml(file)["dataset_config"][spec.name]
    prefix, given = f"dataset_config.{spec.name}.", set()
    for word in words:
        key, sign, value = word.partition("=")
        key = key.removeprefix(prefix)
        if not sign or not key:
            raise ValueError(f"'{word}': expected KEY=VALUE, such as data_dir=/data/{spec.corpus}")
        *folders, last = key.split(".")
        place = section
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = yaml.safe_load(value)
        given.add(key)
    if "data_dir" not in given:
        raise ValueError(f"where is the corpus? Give data_dir=FOLDER, such as data_dir=/data/{spec.corpus}")
    return _resolve(section, spec.name, section)


def _resolve(value: Any, name: str, section: dict[str, Any]) -> Any:
    """Return a value with ``${dataset_config.<name>.<key>}`` replaced by what the key is."""
    if isinstance(value, dict):
        return {key: _resolve(one, name, section) for key, one in value.items()}
    if isinstance(value, list):
        return [_resolve(one, name, section) for one in value]
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[1] != name:
        return value
    for key in found[2].split("."):
        section = section[key]
    return section


def _describe(split: str, spec: DatasetSpec, one: dict[str, Any]) -> str:
    if one["problem"]:
        return f"{split:5}  {one['problem']}"
    known = [
        f"{one[f'known_{name}']:,} {word}"
        for name, word in (("rows", "rows"), ("media", f"{spec.media}s"))
        if one[f"known_{name}"] is not None
    ]
    missing = one["missing"]
    line = (
        f"{split:5}  {one['rows']:,} rows, {one['media']:,} {spec.media}s, {len(missing):,} of them not there"
    )
    if missing:
        line += f" (such as {', '.join(missing[:3])})"
    if not known:
        return line + "; no counts are known"
    return line + f"; known: {', '.join(known)}" + ("" if one["is_good"] or missing else ": DIFFERS")
