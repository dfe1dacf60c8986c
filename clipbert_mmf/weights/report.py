"""The table that every load logs.

Which tensors of the file were used, and which of the network were filled.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clipbert_mmf.writing import naming, write_text_atomically

_SHOWN = 6


@dataclass
class LoadReport:
    """The result of loading a file.

    Attributes:
        path: the file.
        part: the part it was given for: ``clipbert``, ``backbone``, ``transformer``.
        format: the format of its names, in words.
        used: our names that were loaded.
        resized: our name -> shapes (in the file, in the model), where only the first rows fit.
        missing: our names that the file should have and lacks; they keep their random values.
        left_over: the file's names that the network has no place for.
        wrong_shape: our name -> shapes (in the file, in the model); they keep their random values.
        unused: the file's names that are known and not used -> the reason.
        notes: what the file says about itself.
    """

    path: str
    part: str = "clipbert"
    format: str = ""
    used: list[str] = field(default_factory=list)
    resized: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    wrong_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Tell whether everything fits, which ``strict`` requires."""
        return not (self.resized or self.missing or self.left_over or self.wrong_shape)

    def __str__(self) -> str:
        reasons = Counter(self.unused.values())
        shapes = {
            title: [f"{name} {_by(given)}, here {_by(own)}" for name, (given, own) in names.items()]
            for title, names in (("resized", self.resized), ("wrong shape", self.wrong_shape))
        }
        rows = (
            ("used", self.used),
            ("first rows used", shapes["resized"]),
            ("missing, now random", self.missing),
            ("left over", self.left_over),
            ("wrong shape, now random", shapes["wrong shape"]),
            ("not needed", [f"{count} {reason}" for reason, count in reasons.items()]),
        )
        counts = {"not needed": len(self.unused)}
        lines = [f"weights.{self.part} from {self.path} ({self.format})"]
        for title, names in rows:
            shown = "" if title == "used" else ", ".join(names[:_SHOWN])
            more = f" and {len(names) - _SHOWN} more" if shown and len(names) > _SHOWN else ""
            lines.append(f"  {title:<24}{counts.get(title, len(names)):>6}  {shown}{more}".rstrip())
        return "\n".join(lines)


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


def write_reports(reports: list[LoadReport], path: Path) -> None:
    """Save reports as JSON.

    Args:
        reports: one for each load.
        path: file in the run's folder.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(json.dumps([asdict(report) for report in reports], indent=2) + "\n", path)
