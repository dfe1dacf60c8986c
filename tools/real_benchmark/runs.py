"""Starts ``mmf_run`` as a user would type it, keeps finished runs, and reads what they measured."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipbert_mmf.cli.mmf_process import run_mmf
from clipbert_mmf.paths import project_dir
from clipbert_mmf.report.run_results import read_final_outcomes
from clipbert_mmf.scoring.outcomes import Outcomes

RECIPES = project_dir() / "clipbert" / "configs" / "real"


@dataclass(frozen=True)
class Runner:
    """Runs commands one after the other; what is finished with the same options is not run again.

    Attributes:
        folder: of all runs.
        device: ``cpu`` or ``cuda``.
        extra: options of every run, after all others.
        tell: told each command.
    """

    folder: Path
    device: str = "cpu"
    extra: tuple[str, ...] = ()
    tell: Callable[[str], None] = print

    def run(self, name: str, options: Sequence[str]) -> Finished:
        """Run ``mmf_run`` in a folder of a name.

        Raises:
            MmfRunError: if it fails.
        """
        place = self.folder / name
        written = [*options, f"training.device={self.device}", *self.extra, f"env.save_dir={place}"]
        record = place / "real_benchmark.json"
        if record.is_file():
            kept = json.loads(record.read_text(encoding="utf-8"))
            if kept["options"] == written:
                self.tell(f"    {name}: kept from before")
                return Finished(place, kept["minutes"])
        self.tell(f"==> {name}\nmmf_run {shlex.join(written)}")
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        cost = run_mmf([*written, "env.overwrite=true"], place.with_suffix(".log"), environment)
        minutes = cost.seconds / 60
        record.write_text(
            json.dumps({"options": written, "minutes": minutes}, indent=1) + "\n", encoding="utf-8"
        )
        self.tell(f"    ({minutes:.1f} min)")
        return Finished(place, minutes)


@dataclass(frozen=True)
class Finished:
    """A run that has ended.

    Attributes:
        folder: of the run.
        minutes: it took, start of the process included.
    """

    folder: Path
    minutes: float

    @property
    def weights(self) -> Path:
        """The best weights by its criterion, else the final ones."""
        best = self.folder / "best.ckpt"
        return best if best.is_file() else self.folder / "clipbert_final.pth"

    def read_outcomes(self) -> dict[str, Outcomes]:
        """Return the outcomes of its test by short name, ``t2v_r1``."""
        found = read_final_outcomes(self.folder, "test")
        return {name.rpartition("/")[2]: one for name, one in found.items()}


def warn(sentence: str) -> None:
    """Tell something that does not end the benchmark."""
    sys.stderr.write(f"{sentence}\n")
