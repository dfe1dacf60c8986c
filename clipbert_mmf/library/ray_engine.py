"""Runs one call per item on a Ray cluster: a pool of processes, each with the model; Ray retries what a lost node had.

Results come back to the process that started, which is the only one that writes, batch by batch. Lance fragments
that the workers write would become visible in one commit at the end, and a kill before it would lose everything.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import pickle
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from clipbert_mmf.extras import import_extra
from clipbert_mmf.inference.user_packages import PickledPackage
from clipbert_mmf.library.engines import pickle_package

Item = TypeVar("Item")
Result = TypeVar("Result")
#: Items of one task: what is done again when a node goes.
_ITEMS_PER_TASK = 8


def import_ray() -> Any:
    """Return Ray.

    Raises:
        ImportError: says how to install it.
    """
    # No connection to anywhere but the cluster; read when Ray is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import_extra("ray.data", "ray", "--ray needs Ray Data")
    return importlib.import_module("ray")


@dataclass(frozen=True)
class RayCluster:
    """Calls on a Ray cluster; a ``Mapper``.

    Attributes:
        address: of a cluster; ``auto`` takes the one of ``RAY_ADDRESS`` or of this machine, or starts one here.
        num_workers: tasks at a time; None takes one for each core, or each GPU where tasks need one.
        needs_gpu: whether each task takes a GPU.
        user_dir: package that each process imports first; None for none. All nodes see it at the same path.
    """

    address: str = "auto"
    num_workers: int | None = None
    needs_gpu: bool = False
    user_dir: str | Path | None = None

    def __call__(self, call: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
        """See ``Mapper``."""
        package = pickle_package(self.user_dir)
        return map_with_ray(call, items, self.address, self.num_workers, self.needs_gpu, package)


#: What this worker process calls, by the name of its call: read once.
_CALLS: dict[str, Callable[[Any], Any]] = {}


def _call_batch(batch: dict[str, Any], name: str, held: list[Any]) -> dict[str, Any]:
    """Call for each item of a batch; ``held`` has the reference of what is called, which each process reads once."""
    if name not in _CALLS:
        import ray  # pyright: ignore[reportMissingImports]
        import torch

        torch.set_num_threads(1)
        _CALLS.clear()
        _, _CALLS[name] = pickle.loads(ray.get(held[0]))
    call = _CALLS[name]
    done = [pickle.dumps(call(pickle.loads(item))) for item in batch["item"].tolist()]
    return {"number": batch["number"], "done": done}


def map_with_ray(
    call: Callable[[Item], Result],
    items: Iterable[Item],
    address: str = "auto",
    num_workers: int | None = None,
    needs_gpu: bool = False,
    package: PickledPackage | None = None,
) -> Iterator[Result]:
    """Yield ``call(item)`` for each item once, in the order in which they are done.

    Args:
        call: sent to each process once; the package must be importable on all nodes.
        items: all are listed first.
        address: of a cluster, or ``auto``.
        num_workers: tasks at a time; None takes one for each core or GPU of the cluster.
        needs_gpu: whether each task takes a GPU.
        package: imported by each process first.

    Raises:
        ConnectionError: if there is no cluster at the address.
    """
    ray = import_ray()
    if not ray.is_initialized():
        where = {} if address == "auto" else {"address": address}
        ray.init(**where, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.verbose_stats_logs = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"number": number, "item": pickle.dumps(item)} for number, item in enumerate(items)]
    if not rows:
        return
    resources = ray.cluster_resources()
    size = num_workers or max(1, int(resources.get("GPU" if needs_gpu else "CPU", 1)))
    blocks = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / _ITEMS_PER_TASK))
    # Tasks and no actors: one of a lost node goes to any other, where an actor would wait for room to start again.
    found = blocks.map_batches(
        _call_batch,
        fn_kwargs={"name": uuid.uuid4().hex, "held": [ray.put(pickle.dumps((package, call)))]},
        batch_size=_ITEMS_PER_TASK,
        concurrency=size,
        num_cpus=None if needs_gpu else 1,
        num_gpus=1 if needs_gpu else None,
        max_retries=-1,
    )
    seen: set[int] = set()
    for row in found.iter_rows():
        # A task that was done twice gives its results twice.
        if row["number"] not in seen:
            seen.add(row["number"])
            yield pickle.loads(row["done"])
