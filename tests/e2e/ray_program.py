"""Index a folder on two Ray nodes, one of which is lost on the way: ``ray_program.py RUN VIDEOS OUT``.

The node that is left then embeds, checks, packs and predicts the same videos.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
import torch
from ray.cluster_utils import Cluster

from clipbert_mmf.inference.embedding import embed
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.table_predictions import predict_table
from clipbert_mmf.library.building import IndexOptions, build_index
from clipbert_mmf.library.ray_engine import RayCluster
from clipbert_mmf.video.check import check_into_folder
from clipbert_mmf.video.stores.build import build_store
from clipbert_mmf.video.stores.open import open_store

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
        RayCluster(cluster.address, 2),
        advance=lambda done, total: told.append((done, total)),
    )
    begin = time.monotonic()
    # The head learns of the loss when the node has been silent for a while.
    while (left := len([node for node in ray.nodes() if node["Alive"]])) == num_nodes:
        if time.monotonic() - begin > 120:
            break
        time.sleep(0.5)
    told_of_others = run_others(run, Path(videos), Path(out).parent, RayCluster(cluster.address))
    print(json.dumps({"report": report.to_dict(), "nodes": [num_nodes, left], **told_of_others}))
    ray.shutdown()
    cluster.shutdown()


def run_others(run: str, videos: Path, folder: Path, cluster: RayCluster) -> dict[str, object]:
    """Return what the other verbs gave on the cluster, each beside what this process gives."""
    model, files = ClipBert.from_pretrained(run), sorted(videos.iterdir())[:6]
    here, there = (embed(model, files, [], mapper=mapper) for mapper in (map, cluster))
    totals = check_into_folder(str(videos), folder / "check", mapper=cluster)
    table = folder / "table.csv"
    table.write_text(
        "video,text\n" + "".join(f"{file},{text}\n" for text in ("red", "blue") for file in files)
    )
    for name, mapper in (("here", map), ("there", cluster)):
        predict_table(model, table, folder / f"{name}.jsonl", mapper=mapper)
    report = build_store(open_store(str(videos)), folder / "packed", "tar", mapper=cluster)
    return {
        "embedded": list(there.video_files) == list(map(str, files))
        and torch.equal(here.videos, there.videos),
        "predicted": (folder / "here.jsonl").read_text() == (folder / "there.jsonl").read_text(),
        "checked": [totals.num_media, totals.num_bad],
        "packed": [report.num_written, len(report.failed)],
        "packed_files_are_equal": all(
            open_store(str(folder / "packed")).read(file.stem) == file.read_bytes() for file in files
        ),
    }


if __name__ == "__main__":
    main()
