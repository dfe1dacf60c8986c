"""Describes a file of weights: its format, its origin, and the tensors of a network that it would fill.

Loads nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.weights.files import WeightsFile, WeightsFileError, list_files
from clipbert_mmf.weights.formats import FORMATS, detect_format, modernise
from clipbert_mmf.weights.loading import check_suits, match_tensors, name_ours
from clipbert_mmf.weights.report import LoadReport

_BLOCK_BYTES = 1 << 20


@dataclass
class Inspection:
    """A description of a file that is not loaded into a model.

    Attributes:
        path: the file or folder.
        container: the way it is stored, in words.
        format: the format of its names, in words.
        parts: keys of ``model_config.clipbert.weights`` that it may be given for.
        files: name -> (bytes, sha256) of each file that was read.
        num_tensors: number of tensors.
        num_values: numbers in all tensors.
        dtypes: precision -> number of tensors.
        notes: what the file says about itself.
        report: what it would fill in the model it was compared with.
        problem: the reason why that model would compute other results with it; empty where it fits.
    """

    path: str
    container: str
    format: str
    parts: list[str]
    files: dict[str, tuple[int, str]]
    num_tensors: int
    num_values: int
    dtypes: dict[str, int]
    notes: dict[str, str] = field(default_factory=dict)
    report: LoadReport | None = None
    problem: str = ""

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.format}", f"  {'stored as':<24}{self.container}"]
        for name, (size, digest) in self.files.items():
            lines.append(f"  {'file':<24}{name}, {size:,} bytes, sha256 {digest}")
        kinds = ", ".join(f"{count} {dtype}" for dtype, count in self.dtypes.items())
        lines.append(f"  {'tensors':<24}{self.num_tensors} ({kinds}), {self.num_values:,} numbers")
        lines += [f"  {'says ' + key:<24}{value}" for key, value in sorted(self.notes.items())]
        places = " or ".join(f"model_config.clipbert.weights.{part}" for part in self.parts)
        lines.append(f"  {'use it as':<24}{places}")
        if self.problem:
            lines.append(f"  {'does not suit as it is':<24}{self.problem}")
        return "\n".join([*lines, *([str(self.report)] if self.report else [])])


def inspect_file(file: WeightsFile, network: ClipBertNetwork) -> Inspection:
    """Say what a file is, and compare it with a network.

    Args:
        file: as ``read_weights`` returns it.
        network: network to compare with; its numbers are not needed, so it may be on the meta device.

    Raises:
        WeightsFileError: if its names are of no known format.
    """
    found = detect_format(modernise(name) for name in file.tensors)
    # Of an unknown format, the error that loading it would raise.
    part = FORMATS[found[0]].fills[0] if found else "clipbert"
    row, names = name_ours(network, file, part)
    problem = ""
    try:
        check_suits(network, row, file, part)
    except WeightsFileError as error:
        problem = str(error)
    report, _ = match_tensors(network, file, row, names, part)
    return Inspection(
        path=str(file.path),
        container=file.container,
        format=row.title,
        parts=list(row.fills),
        files={path.name: (path.stat().st_size, hash_file(path)) for path in list_files(file.path)},
        num_tensors=len(file.tensors),
        num_values=sum(value.numel() for value in file.tensors.values()),
        dtypes=dict(Counter(str(value.dtype).removeprefix("torch.") for value in file.tensors.values())),
        notes=file.notes,
        report=report,
        problem=problem,
    )


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
