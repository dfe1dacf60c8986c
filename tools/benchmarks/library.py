"""Measure a library: its store against FAISS, growth of a search with the number of videos, and recall of stage one.

The store is measured with random unit vectors. With --model, the index of a few encoded videos is grown by rows of
the same embeddings under other paths (hard links of the files), and a process of its own searches each size. With
--index and --texts, the ranks of both stages are compared with those of all pairs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.memory import read_peak_mib, reset_peak
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.building import IndexOptions, build_index
from clipbert_mmf.library.rows import VIDEO, Row, RowFacts
from clipbert_mmf.library.searching import Library
from clipbert_mmf.library.store import (
    LibrarySettings,
    LibraryStore,
    ModelIdentity,
    create_library_store,
    open_library_store,
)

_ROWS_PER_COMMIT = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000], help="rows of the store alone")
    parser.add_argument("--size", type=int, default=256, help="length of their embeddings")
    parser.add_argument("--model", help="with a contrastive head: measures growth")
    parser.add_argument("--videos", type=Path, help="a few videos, encoded and linked under many names")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[1000, 4000, 16_000], help="videos of the growth"
    )
    parser.add_argument("--text", default="a red circle moves", help="what is looked for")
    parser.add_argument("--top-k", type=int, default=100, help="candidates of a search")
    parser.add_argument("--index", type=Path, help="index of clipbert index: measures recall of stage one")
    parser.add_argument("--texts", type=Path, help="CSV with the columns video (path in the index) and text")
    parser.add_argument("--num-texts", type=int, default=1000, help="texts of the recall")
    parser.add_argument("--out", type=Path, default=Path("save/benchmark_library.json"), help="JSON to write")
    parser.add_argument("--picture", type=Path, help="PNG of the growth")


def run(options: argparse.Namespace) -> None:
    """Print and write all that was asked for."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="clipbert_library_") as name:
        folder = Path(name)
        found["store"] = [measure_store(folder, number, options.size) for number in options.rows]
        if options.model and options.videos:
            found["growth"] = measure_growth(folder, options)
    if options.index and options.texts:
        found["recall"] = measure_recall(options.index, options.texts, options.num_texts)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    if options.picture and "growth" in found:
        draw_growth(found["growth"], options.picture)


def fill_store(store: LibraryStore, num_rows: int, size: int) -> None:
    """Append random unit vectors."""
    rng = np.random.default_rng(0)
    for start in range(0, num_rows, _ROWS_PER_COMMIT):
        vectors = rng.standard_normal((min(_ROWS_PER_COMMIT, num_rows - start), size), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        facts = RowFacts(
            "", VIDEO, 0.0, 30.0, 30.0, 25.0, 640, 360, 1 << 20, "1048576 1 2 3", b"0" * 16, "0" * 16
        )
        store.append(
            [Row(replace(facts, path=f"folder/{start + n}.mp4"), vector) for n, vector in enumerate(vectors)]
        )


def measure_store(folder: Path, num_rows: int, size: int) -> dict[str, float]:
    """Return bytes of a row, and milliseconds of a first stage in the store and in FAISS (exact), one thread, warm."""
    settings = LibrarySettings(ModelIdentity("0" * 16, "none"), "none", "video", size)
    store = create_library_store(folder / f"rows_{num_rows}", settings)
    fill_store(store, num_rows, size)
    store.compact()
    bytes_before = _count_bytes(store)
    begin = time.process_time()
    recall = store.build_vector_index()
    result = {
        "rows": num_rows,
        "bytes a row beside the embedding": bytes_before / num_rows - 4 * size,
        "seconds to make partitions": time.process_time() - begin,
        "percent of the nearest found": recall,
    }
    rng = np.random.default_rng(1)
    queries = rng.standard_normal((9, size), np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    result["store ms"] = _time(lambda query: store.search(query, 100), queries)
    try:
        import faiss  # pyright: ignore[reportMissingImports]  # an optional library

        faiss.omp_set_num_threads(1)
        index = faiss.IndexFlatIP(size)
        for rows, _ in store.iterate_rows():
            index.add(np.stack([row.embedding for row in rows if row.embedding is not None]))
        result["FAISS flat ms"] = _time(lambda query: index.search(query[None], 100), queries)
    except ImportError:
        print("faiss is not installed: pip install faiss-cpu", file=sys.stderr)
    return result


def _time(call: Any, queries: np.ndarray) -> float:
    """Return the median CPU milliseconds of a call, warm."""
    call(queries[0])
    times = []
    for query in queries[1:]:
        begin = time.process_time()
        call(query)
        times.append(1e3 * (time.process_time() - begin))
    return float(np.median(times))


def _count_bytes(store: LibraryStore) -> int:
    assert store.folder is not None
    data = store.folder / "media.lance" / "data"
    return sum(path.stat().st_size for path in data.rglob("*") if path.is_file())


def measure_growth(folder: Path, options: argparse.Namespace) -> list[dict[str, float]]:
    """Grow a library; search and update each size in a process of its own."""
    model = ClipBert.from_pretrained(options.model)
    originals = sorted(path for path in options.videos.rglob("*") if path.is_file())
    points = []
    videos, index = folder / "videos", folder / "index"
    videos.mkdir()
    for number, path in enumerate(originals):
        shutil.copy(path, videos / f"original_{number}{path.suffix}")
    begin = time.process_time()
    build_index(model, options.model, videos, index, IndexOptions(timeout_sec=None))
    seconds = (time.process_time() - begin) / len(originals)
    for size in options.sizes:
        _link_videos(videos, index, size)
        words = [sys.executable, __file__, str(index), options.text, str(options.top_k)]
        paths = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(
            words, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": paths}
        )
        point = {
            "videos": size,
            "cpu seconds of an encoding": seconds,
            **json.loads(done.stdout.splitlines()[-1]),
        }
        begin = time.process_time()
        report = build_index(
            model, options.model, videos, index, IndexOptions(updates=True, timeout_sec=None)
        )
        point["cpu seconds of an update without news"] = time.process_time() - begin
        assert report.num_unchanged >= size
        points.append(point)
    return points


def _link_videos(videos: Path, index: Path, size: int) -> None:
    """Link the files under more names, and give each the rows of its original."""
    store = open_library_store(index)
    originals = sorted(path for path in videos.iterdir() if path.name.startswith("original_"))
    rows = {path.name: store.read_paths([path.name]) for path in originals}
    start = len([path for path in videos.iterdir() if not path.name.startswith("original_")])
    batch: list[Row] = []
    for number in range(start, size - len(originals)):
        original = originals[number % len(originals)]
        name = f"link_{number}{original.suffix}"
        shutil.copy(original, videos / name)
        os.utime(videos / name, ns=(1, 1))
        batch += [replace(row, facts=replace(row.facts, path=name, stamp="")) for row in rows[original.name]]
        if len(batch) >= _ROWS_PER_COMMIT:
            store.append(batch)
            batch = []
    if batch:
        store.append(batch)
    store.seal()
    # The states of the copies are noted by an update that reads their contents.
    time.sleep(2.1)
    model = ClipBert.from_pretrained(store.settings.model.name)
    build_index(model, store.settings.model.name, videos, index, IndexOptions(updates=True, timeout_sec=None))


def search_once(index: str, text: str, top_k: int) -> dict[str, float]:
    """Open an index and search it; return times and memory."""
    torch.set_num_threads(1)
    begin = time.process_time()
    library = Library(index)
    opened = time.process_time() - begin
    library.search([text], 10, top_k)
    reset_peak()
    begin = time.process_time()
    library.search([text], 10, top_k)
    whole = time.process_time() - begin
    vector = library.model.network.embed_texts(*library.model.encode_texts([text]))[0].detach().numpy()
    first = _time(lambda query: library.find_similar(query, top_k), np.stack([vector] * 4))
    return {
        "cpu seconds to open": opened,
        "cpu seconds of a search": whole,
        "cpu ms of the first stage": first,
        "peak MiB": read_peak_mib(),
    }


def measure_recall(index: Path, texts: Path, num_texts: int) -> dict[str, Any]:
    """Return how often the right video is among the k candidates, and the exact path's first among them."""
    library = Library(index)
    with texts.open(encoding="utf-8", newline="") as file:
        pairs = [(row["video"], row["text"]) for row in csv.DictReader(file)][:num_texts]
    sizes = [10, 20, 50, 100, 200, len(library.store)]
    among = dict.fromkeys(sizes, 0)
    from clipbert_mmf.inference.embedding import embed_texts

    vectors = torch.cat(embed_texts(library.model, [text for _, text in pairs])).numpy()
    for (video, _), vector in zip(pairs, vectors, strict=True):
        order = [row.facts.path for row in library.find_similar(vector, sizes[-1])]
        for size in sizes:
            among[size] += video in order[:size]
    ranks: dict[int, list[int]] = {size: [] for size in sizes}
    for video, text in pairs[: max(1, num_texts // 20)]:
        for size in sizes:
            hits = library.search([text], min(size, 10), size)[text]
            ranks[size].append(next((hit.rank for hit in hits if hit.video == video), 0))
    return {
        "texts": len(pairs),
        "recall of stage one at k": {size: count / len(pairs) for size, count in among.items()},
        "R@1 and R@10 after stage two": {
            size: [
                float(np.mean([rank == 1 for rank in found])),
                float(np.mean([rank > 0 for rank in found])),
            ]
            for size, found in ranks.items()
        },
    }


def draw_growth(points: list[dict[str, float]], path: Path) -> None:
    """Draw memory and time against the number of videos."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.2), constrained_layout=True)
    names = ("peak MiB", "cpu ms of the first stage", "cpu seconds of a search")
    for axis, name in zip(axes, names, strict=True):
        axis.plot([point["videos"] for point in points], [point[name] for point in points], "o-")
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel("videos")
        axis.set_title(name, fontsize=10)
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    print(json.dumps(search_once(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
