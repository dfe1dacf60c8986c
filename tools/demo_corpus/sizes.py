"""Set how much of each corpus is made, and the pool that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tqdm import tqdm


@dataclass(frozen=True)
class Sizes:
    """Counts that all corpora follow.

    Attributes:
        num_train: training videos of MSR-VTT; the others take a share or a multiple.
        num_test: its test videos.
        num_images: captioned training images.
    """

    seed: int
    num_train: int
    num_test: int
    num_images: int

    @property
    def num_val(self) -> int:
        """Validation videos: a tenth of the training ones."""
        return max(1, self.num_train // 10)

    @property
    def num_val_images(self) -> int:
        """Validation images: a tenth of the training ones."""
        return max(2, self.num_images // 10)


def run_jobs(pool, work: Callable, jobs: list, title: str) -> Iterable:
    """Run ``work`` on every job in the pool with a progress bar; return the results in order."""
    return list(tqdm(pool.imap(work, jobs, chunksize=8), total=len(jobs), desc=title))
