"""What each text or medium contributed to a number, so that the number can be told with its uncertainty.

A metric that returns ``Measured`` has intervals and paired tests; one that returns a plain dictionary has
neither. ``scoring.uncertainty`` computes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from clipbert_mmf.writing import naming, replacing


@dataclass(frozen=True)
class Outcomes:
    """The rows that a number is the mean or the median of.

    Attributes:
        values: ``(rows,)`` float64.
        media: ``(rows,)``, the item or the medium of each row; texts of one medium are resampled together.
        weights: ``(rows,)`` float64 of a weighted mean; None where all rows weigh the same.
        statistic: how the number comes from the values.
        title: name of the number, in words.
        is_share: whether the number is a share, 0 to 1, that people read in per cent.
    """

    values: np.ndarray
    media: np.ndarray
    weights: np.ndarray | None = None
    statistic: Literal["mean", "median"] = "mean"
    title: str = ""
    is_share: bool = False

    @property
    def value(self) -> float:
        """The number itself; 0 where nothing has a weight."""
        if not len(self.values):
            return 0.0
        if self.statistic == "median":
            return float(np.median(self.values))
        if self.weights is None:
            return float(self.values.mean())
        total = float(self.weights.sum())
        return float((self.values * self.weights).sum()) / total if total else 0.0

    def name_media(self, names: Mapping[Any, str]) -> Outcomes:
        """Return the same with other names of the media, such as keys in place of numbers of items."""
        return replace(self, media=np.array([names[medium] for medium in self.media.tolist()]))


def make_outcomes(
    values: Tensor, media: Tensor | np.ndarray, title: str, *, is_share: bool = False, **more: Any
) -> Outcomes:
    """Return outcomes from tensors; ``more`` are further fields of ``Outcomes``."""
    rows = values.detach().double().cpu().numpy()
    own = media.cpu().numpy() if isinstance(media, Tensor) else media
    return Outcomes(rows, own, title=title, is_share=is_share, **more)


class Measured(dict[str, float]):
    """Numbers of an evaluation by name, with the outcomes of those that have some.

    Args:
        outcomes: by name of the number.
        counts: further numbers, which are no means: of items, of ties.
    """

    def __init__(self, outcomes: Mapping[str, Outcomes], counts: Mapping[str, float]):
        super().__init__({name: rows.value for name, rows in outcomes.items()})
        self.update(counts)
        self.outcomes = dict(outcomes)


def read_outcomes(numbers: Mapping[str, float]) -> dict[str, Outcomes]:
    """Return the outcomes of numbers; none where a metric returned a plain dictionary."""
    return numbers.outcomes if isinstance(numbers, Measured) else {}


def average_outcomes(several: Sequence[Outcomes]) -> Outcomes | None:
    """Return the mean of several models' outcomes, row by row; None where they are not of the same rows."""
    first = several[0]
    is_same = all(np.array_equal(one.media, first.media) for one in several)
    if len(several) == 1 or not is_same or first.statistic != "mean" or first.weights is not None:
        return first if len(several) == 1 else None
    return replace(first, values=np.mean([one.values for one in several], axis=0))


def write_outcomes(path: Path, outcomes: Mapping[str, Outcomes]) -> None:
    """Write outcomes to a file of NumPy's, so that another run can be tested against this one."""
    arrays: dict[str, Any] = {
        f"{name}:{field}": np.asarray(value)
        for name, rows in outcomes.items()
        for field, value in asdict(rows).items()
        if value is not None
    }
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_outcomes(path: Path) -> dict[str, Outcomes]:
    """Return the outcomes that ``write_outcomes`` wrote, by name of the number."""
    with np.load(path, allow_pickle=False) as file:
        names = dict.fromkeys(key.rpartition(":")[0] for key in file.files)
        found: dict[str, Outcomes] = {}
        for name in names:
            given = {
                field.name: file[f"{name}:{field.name}"]
                for field in fields(Outcomes)
                if f"{name}:{field.name}" in file
            }
            plain = {key: value.item() if value.ndim == 0 else value for key, value in given.items()}
            found[name] = Outcomes(**plain)
        return found
