"""Index a folder on two Ray nodes, one of which is lost on the way: ``ray_program.py RUN VIDEOS OUT``."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray.cluster_utils import Cluster

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.building import IndexOptions, build_index
from clipbert_mmf.library.ray_engine import RayEngine

NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


def main() -> None:
    """Build the index and print its report and what became of the nodes."""
    run, videos, out = sys.argv[1:]
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    second = cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    num_nodes = len([node for node in ray.nodes() if node["Alive"]])
    told: list[tuple[int, int]] = []

    def lose_node() -> None:
        while not told:
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)

    threading.Thread(target=lose_node, daemon=True).start()
    report = build_index(
        ClipBert.from_pretrained(run),
        run,
        videos,
        out,
        IndexOptions(timeout_sec=None, batch_media=4),
        RayEngine(cluster.address, 2),
        advance=lambda done, total: told.append((done, total)),
    )
    begin = time.monotonic()
    # The head learns of the loss when the node has been silent for a while.
    while (left := len([node for node in ray.nodes() if node["Alive"]])) == num_nodes:
        if time.monotonic() - begin > 120:
            break
        time.sleep(0.5)
    print(json.dumps({"report": report.to_dict(), "nodes": [num_nodes, left]}))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
