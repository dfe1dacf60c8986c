"""Options that say where the media of a verb are worked on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from clipbert_mmf.library.engines import WorkerProcesses
from clipbert_mmf.library.ray_engine import RayCluster, import_ray
from clipbert_mmf.video.parallel import Mapper

Item = TypeVar("Item")
Result = TypeVar("Result")


def choose_ray(options: argparse.Namespace) -> RayCluster | None:
    """Return the cluster that ``--ray`` names; None without.

    Raises:
        ImportError: if Ray is not installed; says what to type.
    """
    if options.ray is None:
        return None
    import_ray()
    needs_gpu = getattr(options, "device", "cpu").startswith("cuda")
    return RayCluster(options.ray, options.workers, needs_gpu, _find_user_dir(options))


def choose_mapper(options: argparse.Namespace) -> Mapper | None:
    """Return what ``--ray`` or ``--workers`` above 1 name; None for this process."""
    ray = choose_ray(options)
    if ray is None and options.workers and options.workers > 1:
        return WorkerProcesses(options.workers, _find_user_dir(options))
    return ray


def _find_user_dir(options: argparse.Namespace) -> str | None:
    return getattr(options, "user_dir", None) or os.environ.get("MMF_USER_DIR") or None


def count_in(bar: tqdm, mapper: Mapper) -> Mapper:
    """Return a mapper that moves a bar on with each result."""

    def count_results(call: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
        for result in mapper(call, items):
            bar.update()
            yield result

    return count_results
