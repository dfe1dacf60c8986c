"""Writes docs/configuration.md from the YAML files and their comments; a test checks that it is up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "configuration.md"
#: Heading, file, section to list and how its path is shown.
PARTS = (
    ("The model", "configs/models/clipbert/defaults.yaml", "model_config.clipbert"),
    ("A dataset of videos", "configs/datasets/msrvtt_qa/defaults.yaml", "dataset_config.msrvtt_qa"),
    (
        "A dataset of one's own",
        "configs/datasets/video_text_csv/defaults.yaml",
        "dataset_config.video_text_csv",
    ),
    ("The trainer", "configs/training/clipbert.yaml", ""),
)
_LINE = re.compile(r"^(?P<indent> *)(?P<item>- )?(?P<key>[\w]+):(?: (?P<value>.*))?$")


def list_keys(text: str) -> list[tuple[str, str, str]]:
    """Return (dotted key, default, comment) of each key with a value; comments above a key are its own."""
    rows, path, comments = [], [], []
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


def render() -> str:
    """Return the page."""
    lines = [
        "# Configuration",
        "",
        "Made by `tools/make_config_reference.py` from the YAML files, whose comments these are. Any key can be set on the "
        "command line: `model_config.clipbert.fold=mean`.",
    ]
    for heading, file, section in PARTS:
        lines += ["", f"## {heading}", "", f"`{file}`", "", "| key | default | |", "| --- | --- | --- |"]
        for key, value, comment in list_keys((ROOT / file).read_text(encoding="utf-8")):
            if (not value and not comment) or key in ("model_config", "dataset_config"):
                continue
            shown = key.removeprefix(f"{section}.") if section else key
            value = f"`{value}`".replace("|", "\\|") if value else ""
            lines.append(f"| `{shown}` | {value} | {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    OUT.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{OUT}\n")
