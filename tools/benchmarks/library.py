"""Measure a library: its store against FAISS, growth of a search with the number of videos, and recall of stage one.

The store is measured with made vectors, beside FAISS. With --model, small videos are made and indexed, the index is
grown by copies of them, and a process of its own searches and updates each size. With --index and --texts, the ranks
of both stages are compared with those of all pairs.
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
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from benchmarks.memory import read_peak_mib, reset_peak
from clipbert_mmf.inference.asking import score_matches
from clipbert_mmf.inference.embedding import embed_texts
from clipbert_mmf.inference.model_identity import hash_model
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.library.building import IndexOptions, arrange_vectors, build_index
from clipbert_mmf.library.media import open_media_source
from clipbert_mmf.library.rows import VIDEO, Row, RowFacts
from clipbert_mmf.library.searching import Library
from clipbert_mmf.library.store import (
    EXACT,
    GRAPH,
    LibrarySettings,
    LibraryStore,
    ModelIdentity,
    VectorIndex,
    create_library_store,
    open_library_store,
)

_ROWS_PER_COMMIT = 20_000
#: Times that a search and its pairs alone are measured, in turn.
_NUM_TURNS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000], help="rows of the store alone")
    parser.add_argument("--size", type=int, default=256, help="length of their embeddings")
    parser.add_argument("--model", help="with a contrastive head: measures growth")
    parser.add_argument(
        "--originals", type=int, default=200, help="videos that are encoded; others are copies"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[1000, 4000, 16_000], help="videos of the growth"
    )
    parser.add_argument("--text", default="a red circle moves", help="what is looked for")
    parser.add_argument("--top-k", type=int, default=100, help="candidates of a search")
    parser.add_argument("--index", type=Path, help="index of clipbert index: measures recall of stage one")
    parser.add_argument("--texts", type=Path, help="CSV with the columns video (path in the index) and text")
    parser.add_argument("--num-texts", type=int, default=5000, help="texts of the first stage")
    parser.add_argument("--num-ranked", type=int, default=200, help="texts that are scored with all media")
    parser.add_argument("--out", type=Path, default=Path("save/benchmark_library.json"), help="JSON to write")
    parser.add_argument("--picture", type=Path, help="PNG of the growth")


def run(options: argparse.Namespace) -> None:
    """Print and write all that was asked for."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="clipbert_library_") as name:
        folder = Path(name)
        found["store"] = [measure_store(folder, number, options.size) for number in options.rows]
        if options.model:
            found["growth"] = measure_growth(folder, options)
    if options.index and options.texts:
        found["recall"] = measure_recall(options.index, options.texts, options.num_texts, options.num_ranked)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    if options.picture and "growth" in found:
        draw_growth(found["growth"]["points"], options.picture)


def make_vectors(num_rows: int, size: int, seed: int) -> np.ndarray:
    """Return unit vectors around 2,000 centres in 48 directions with noise in all, as those of real media lie.

    Neighbours of vectors that are random in all directions are no nearer than others: no approximate index finds
    them, and nobody looks for them.
    """
    rng, (directions, centres) = np.random.default_rng(seed), _make_centres(size)
    places = centres[rng.integers(2000, size=num_rows)] + 0.7 * rng.standard_normal((num_rows, 48))
    vectors = places @ directions + 0.15 * rng.standard_normal((num_rows, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@cache
def _make_centres(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((48, size)) / np.sqrt(np.arange(1, 49))[:, None], rng.standard_normal(
        (2000, 48)
    )


def fill_store(store: LibraryStore, num_rows: int, size: int) -> np.ndarray:
    """Append rows; return their embeddings."""
    facts = RowFacts(
        "", VIDEO, 0.0, 30.0, 30.0, 25.0, 640, 360, 1 << 20, "1048576 1 2 3", b"0" * 16, "0" * 16
    )
    parts = []
    for start in range(0, num_rows, _ROWS_PER_COMMIT):
        parts.append(make_vectors(min(_ROWS_PER_COMMIT, num_rows - start), size, 1 + start))
        store.append(
            [Row(replace(facts, path=f"folder/{start + n}.mp4"), row) for n, row in enumerate(parts[-1])]
        )
    return np.concatenate(parts)


def measure_store(folder: Path, num_rows: int, size: int) -> dict[str, Any]:
    """Return bytes of a row, and CPU milliseconds of a first stage beside those of FAISS, one thread, warm."""
    settings = LibrarySettings(ModelIdentity("0" * 16, "none"), "none", "video", size)
    store = create_library_store(folder / f"rows_{num_rows}", settings)
    vectors = fill_store(store, num_rows, size)
    store.compact()
    result: dict[str, Any] = {
        "rows": num_rows,
        "bytes a row beside the embedding": round(_count_bytes(store) / num_rows - 4 * size, 1),
    }
    queries = make_vectors(30, size, 0)
    for name in (EXACT, GRAPH):
        begin = time.process_time()
        report = store.build_vector_index(name)
        result[f"{name}: seconds to build"] = round(time.process_time() - begin, 1)
        result[f"{name}: recall of 100"] = round(report.recall, 4)

        def scan(query: np.ndarray, index: VectorIndex = report.index) -> list[tuple[int, float]]:
            return store.find_nearest(query, 100, index=index)

        result[f"{name}: scan ms"] = _time(scan, queries)
        result[f"{name}: with 100 rows read and checked ms"] = _time(
            lambda query, scan=scan: store.read_numbered([number for number, _ in scan(query)]), queries
        )
    result |= measure_faiss(vectors, queries, result["graph: recall of 100"])
    return result


def measure_faiss(vectors: np.ndarray, queries: np.ndarray, recall: float) -> dict[str, float]:
    """Return milliseconds of FAISS, exact, and by HNSW with at least a recall."""
    try:
        import faiss  # pyright: ignore[reportMissingImports]  # an optional library
    except ImportError:
        print("faiss is not installed: pip install faiss-cpu", file=sys.stderr)
        return {}
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    result = {"FAISS flat ms": _time(lambda query: flat.search(query[None], 100), queries)}
    exact = flat.search(queries, 100)[1]
    graph = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 40
    begin = time.process_time()
    graph.add(vectors)
    result["FAISS HNSW: seconds to build"] = round(time.process_time() - begin, 1)
    for width in (100, 150, 200, 300, 500, 800, 1200, 2000):
        graph.hnsw.efSearch = width
        found = graph.search(queries, 100)[1]
        result["FAISS HNSW: recall of 100"] = round(
            float(np.mean([len(set(one) & set(other)) for one, other in zip(found, exact, strict=True)]))
            / 100,
            4,
        )
        result["FAISS HNSW: ms"] = _time(lambda query: graph.search(query[None], 100), queries)
        if result["FAISS HNSW: recall of 100"] >= recall:
            break
    return result


def _time(call: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """Return the median CPU milliseconds of a call, warm."""
    for query in queries[:3]:
        call(query)
    times = []
    for query in queries:
        begin = time.process_time()
        call(query)
        times.append(1e3 * (time.process_time() - begin))
    return round(float(np.median(times)), 2)


def _count_bytes(store: LibraryStore) -> int:
    assert store.folder is not None
    data = store.folder / "media.lance" / "data"
    return sum(path.stat().st_size for path in data.rglob("*") if path.is_file())


def measure_growth(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Build a small library, then grow it by copies; search and update each size in a process of its own.

    The videos of a size are files of their own. Their rows are those of the originals under other paths, with their
    own states and embeddings as ``make_vectors`` spreads them: what grows is the store, the source and the plan, and
    encoding is measured on the originals alone.
    """
    model = ClipBert.from_pretrained(options.model)
    videos, index = folder / "videos", folder / "index"
    videos.mkdir()
    originals = [
        make_small_video(videos / f"original_{number}.mp4", number) for number in range(options.originals)
    ]
    seconds = _measure_encoding(model, options.model, originals, videos, index)
    points = []
    for size in options.sizes:
        _grow(originals, videos, index, size)
        point = {"videos": size, **_run_alone("search", index, options)}
        for number in range(10):
            make_small_video(videos / f"new_{size}_{number}.mp4", 1000 + size + number)
        update = _run_alone("update", index, options)
        assert update.pop("new") == 10 and update.pop("others") == size
        points.append({**point, **update})
    return {**seconds, "points": points}


def make_small_video(path: Path, seed: int) -> Path:
    """Write 16 frames of 96 x 96, about 4 KB."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((16, 96, 96, 3), np.uint8) + rng.integers(0, 255, 3, dtype=np.uint8)
    for number, frame in enumerate(frames):
        top, left = (8 + number * rng.integers(1, 3, 2)) % 64
        frame[top : top + 24, left : left + 24] = rng.integers(0, 255, 3)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=8, options={"crf": "28"})
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        output.mux(stream.encode(None))
    return path


def _measure_encoding(
    model: ClipBert, name: str, originals: list[Path], videos: Path, index: Path
) -> dict[str, float]:
    """Return the CPU time of a video, decoded and encoded alone, and as a part of an index; in turn, three times."""
    options = IndexOptions(timeout_sec=None)

    def encode_alone() -> None:
        with torch.inference_mode():
            for path in originals:
                model.network.embed_moments(model.encode(path).visual[None])

    def build() -> None:
        shutil.rmtree(index, ignore_errors=True)
        build_index(model, name, videos, index, options)

    encode_alone()
    alone, built = (np.zeros(3) for _ in range(2))
    for turn in range(3):
        for times, call in ((alone, encode_alone), (built, build)):
            begin = time.process_time()
            call()
            times[turn] = (time.process_time() - begin) / len(originals)
    return {
        "cpu ms to decode and encode a video": round(1e3 * float(np.median(alone)), 3),
        "cpu ms to index a video": round(1e3 * float(np.median(built)), 3),
        "rate of an index against decoding and encoding": round(float(np.median(alone / built)), 3),
    }


def _grow(originals: list[Path], videos: Path, index: Path, size: int) -> None:
    """Copy the files under more names, and give each the rows of its original."""
    store, source = open_library_store(index), open_media_source(videos, "video")
    rows = {path.name: store.read_paths([path.name]) for path in originals}
    there = set(os.listdir(videos))
    names: dict[str, str] = {}
    for number in range(size - len(there)):
        original = originals[number % len(originals)].name
        names[f"copy_{size}_{number}.mp4"] = original
        shutil.copyfile(videos / original, videos / f"copy_{size}_{number}.mp4")
    # States of younger files are not trusted.
    time.sleep(2.5)
    batch: list[Row] = []
    centres = make_vectors(len(names), store.settings.embedding_size, size)
    for number, (name, original) in enumerate(names.items()):
        # The moments of a video are alike, and those of two videos differ.
        moved = make_vectors(len(rows[original]), store.settings.embedding_size, number)
        facts = {"path": name, "stamp": source.stamp(name)}
        for row, vector in zip(rows[original], centres[number] + 0.5 * moved, strict=True):
            own = replace(row.facts, **facts)
            batch.append(replace(row, facts=own, embedding=vector / np.linalg.norm(vector)))
        if len(batch) >= _ROWS_PER_COMMIT:
            store.append(batch)
            batch = []
    if batch:
        store.append(batch)
    store.compact()
    arrange_vectors(store, "auto", True, lambda line: print(line, file=sys.stderr))
    store.seal()


def _run_alone(what: str, index: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a process of its own."""
    paths = os.pathsep.join(path for path in sys.path if path)
    words = [sys.executable, __file__, what, str(index), options.text, str(options.top_k)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def search_alone(index: str, text: str, top_k: int) -> dict[str, Any]:
    """Open an index and search it; return times and memory."""
    model = ClipBert.from_pretrained(open_library_store(index).settings.model.name)
    hash_model(model)  # reads the tokenizer, as every start does
    loaded = time.process_time()
    library = Library(index, model)
    opened = time.process_time() - loaded
    library.search([text], 10, top_k)
    reset_peak()
    library.search([text], 10, top_k)
    peak, anonymous = read_peak_mib(), _read_anonymous_mib()
    vector = torch.cat(embed_texts(model, [text])).numpy()[0]
    first = _time(lambda query: library.find_similar(query, top_k), np.stack([vector] * 4))
    scan = _time(
        lambda query: library.store.find_nearest(query, top_k, index=library.store.vector_index),
        np.stack([vector] * 4),
    )
    candidates = [row.facts.path for row in library.find_similar(vector, top_k)]

    def score_alone() -> None:
        for path in candidates:
            score_matches(model, library.encode(path), [text])

    whole, pairs = (np.zeros(_NUM_TURNS) for _ in range(2))
    for turn in range(_NUM_TURNS):
        for times, call in ((whole, lambda: library.search([text], 10, top_k)), (pairs, score_alone)):
            begin = time.process_time()
            call()
            times[turn] = time.process_time() - begin
    return {
        "rows": len(library.store),
        "cpu seconds to open": round(opened, 3),
        "cpu seconds of a search": round(float(np.median(whole)), 3),
        "cpu seconds of its pairs alone": round(float(np.median(pairs)), 3),
        "cpu seconds of a search beside its pairs": round(float(np.median(whole - pairs)), 3),
        "cpu ms of the first stage": round(first, 2),
        "cpu ms of its scan": round(scan, 2),
        "kind": getattr(library.store.vector_index, "kind", "scan"),
        "peak MiB": round(peak, 1),
        "MiB of its own after a search": round(anonymous, 1),
    }


def _read_anonymous_mib() -> float:
    """Return the memory of this process that is no file."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("RssAnon"))


def update_alone(index: str) -> dict[str, float]:
    """Bring an index up to date; return its CPU time beside that of loading the model and encoding what is new."""
    settings = open_library_store(index).settings
    model = ClipBert.from_pretrained(settings.model.name)
    hash_model(model)  # reads the tokenizer, as every start does
    options = IndexOptions(updates=True, timeout_sec=None)
    new = [path for path in Path(settings.source).iterdir() if path.name.startswith("new_")][:10]
    for path in new[:2]:
        model.encode(path)
    begin = time.process_time()
    for path in new:
        with torch.inference_mode():
            model.network.embed_moments(model.encode(path).visual[None])
    alone = time.process_time() - begin
    begin = time.process_time()
    report = build_index(model, settings.model.name, settings.source, index, options)
    seconds = time.process_time() - begin
    return {
        "new": report.num_new,
        "others": report.num_unchanged,
        "cpu seconds of an update with 10 new": round(seconds, 3),
        "cpu seconds of 10 encodings alone": round(alone, 3),
    }


def measure_recall(index: Path, texts: Path, num_texts: int, num_ranked: int) -> dict[str, Any]:
    """Return what the first stage finds, and the ranks after the second one beside those of the exact path.

    Args:
        index: an index of ``clipbert index``.
        texts: CSV with the columns ``video`` and ``text``.
        num_texts: texts of the first stage, evenly spread over the table.
        num_ranked: texts of the second stage, of which each is scored with all media.
    """
    library = Library(index)
    with texts.open(encoding="utf-8", newline="") as file:
        pairs = [(row["video"], row["text"]) for row in csv.DictReader(file)]
    pairs = _spread(pairs, num_texts)
    total = library.store.count(f"kind = '{VIDEO}'")
    sizes = [size for size in (10, 20, 50, 100, 200, 500) if size < total] + [total]
    vectors = torch.cat(embed_texts(library.model, [text for _, text in pairs])).numpy()
    orders = _order_media(library, vectors)
    among = {
        size: _mean(video in order[:size] for (video, _), order in zip(pairs, orders, strict=True))
        for size in sizes
    }
    ranked = {
        text: (video, order)
        for (video, text), order in _spread(list(zip(pairs, orders, strict=True)), num_ranked)
    }
    exact = library.search(list(ranked), total, None)
    stages: dict[int, dict[str, float]] = {}
    for size in sizes:
        ranks, same = [], []
        for text, (video, order) in ranked.items():
            kept = set(order[:size])
            left = [hit.video for hit in exact[text] if hit.video in kept]
            ranks.append(left.index(video) + 1 if video in left else total)
            same.append(left[0] == exact[text][0].video)
        stages[size] = {
            **{f"R@{limit}": _mean(rank <= limit for rank in ranks) for limit in (1, 5, 10)},
            "first hit is that of the exact path": _mean(same),
        }
    # The candidates' scores are those of a search of all; a few searches show it.
    for text in list(ranked)[:3]:
        found = [hit.video for hit in library.search([text], 10, sizes[0])[text]]
        kept = set(ranked[text][1][: sizes[0]])
        assert found == [hit.video for hit in exact[text] if hit.video in kept][:10]
    return {
        "texts of the first stage": len(pairs),
        "media": total,
        "the right medium is among k": among,
        "texts of the second stage": len(ranked),
        "after the second stage": stages,
    }


def _order_media(library: Library, vectors: np.ndarray) -> list[list[str]]:
    """Return the paths of all media in the order of the first stage, for each text."""
    store, total = library.store, len(library.store)
    index = store.vector_index
    found = [[number for number, _ in store.find_nearest(vector, total, index=index)] for vector in vectors]
    numbers = sorted({number for row in found for number in row})
    paths = {number: path for number, (path, _, _) in zip(numbers, store.read_keys(numbers), strict=True)}
    return [list(dict.fromkeys(paths[number] for number in row)) for row in found]


def _spread(items: list[Any], count: int) -> list[Any]:
    return items[:: max(1, len(items) // count)][:count]


def _mean(values: Iterable[bool]) -> float:
    return round(float(np.mean(list(values))), 4)


def draw_growth(points: list[dict[str, Any]], path: Path) -> None:
    """Draw memory and time against the number of videos; axes from 0, readable on light and dark."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 4, figsize=(13, 3.2), constrained_layout=True, facecolor="white")
    panels = {
        "peak memory of a search, MiB": ("peak MiB",),
        "first stage, ms": ("cpu ms of the first stage", "cpu ms of its scan"),
        "search, s": ("cpu seconds of a search", "cpu seconds of its pairs alone"),
        "update with 10 new, s": ("cpu seconds of an update with 10 new",),
    }
    labels = {
        "cpu ms of the first stage": "with rows",
        "cpu ms of its scan": "scan alone",
        "cpu seconds of a search": "search",
        "cpu seconds of its pairs alone": "its pairs alone",
    }
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            axis.plot(
                [point["videos"] for point in points],
                [point[name] for point in points],
                "o-",
                label=labels.get(name),
            )
        axis.set_xscale("log")
        axis.margins(y=0.15)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("videos")
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    torch.set_num_threads(1)
    _, what, index, text, top_k = sys.argv
    print(json.dumps(search_alone(index, text, int(top_k)) if what == "search" else update_alone(index)))
