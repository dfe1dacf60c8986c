"""Measure how start-up and memory of the data layer grow with records.

Annotation files of the owners' formats, generated.

Each point is a process of its own that does what ``mmf_run`` does at start: parse, pack, group, index the
media.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.curves import Curve
from benchmarks.memory import read_peak_mib, read_private_mib, read_resident_mib, reset_peak
from benchmarks.table import CLOCKS

WORDS = [
    "a",
    "man",
    "woman",
    "dog",
    "is",
    "running",
    "cooking",
    "playing",
    "the",
    "guitar",
    "in",
    "street",
    "kitchen",
    "with",
    "two",
    "red",
    "small",
    "cars",
    "talks",
]
#: Dataset -> (annotation file, records per medium).
CORPORA = {
    "msrvtt_retrieval": ("MSRVTT_data.json", 20),
    "visual_genome_pretraining": ("region_descriptions.json", 50),
}


def data_curves(folder: Path, quick: bool, clock: str) -> list[Curve]:
    """Grow the number of records of MSR-VTT captions and of Visual Genome regions."""
    curves = []
    for dataset in CORPORA:
        curve = Curve(dataset, "records", "data")
        for num_records in (1000, 2000) if quick else (10_000, 100_000, 1_000_000):
            place = folder / f"{dataset}_{num_records}"
            make_corpus(place, dataset, num_records)
            paths = os.pathsep.join(path for path in sys.path if path)
            done = subprocess.run(
                [sys.executable, __file__, dataset, str(place), clock],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONPATH": paths},
            )
            curve.points[num_records] = json.loads(done.stdout.splitlines()[-1])
            shutil.rmtree(place)
        curves.append(curve)
    return curves


def make_corpus(folder: Path, dataset: str, num_records: int) -> None:
    """Write an annotation file with random sentences and a folder with an empty file per medium."""
    name, per_medium = CORPORA[dataset]
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(5, 12))) for _ in range(num_records)]
    media = range(num_records // per_medium)
    if dataset == "msrvtt_retrieval":
        stems = [f"video{number}" for number in media]
        document = {
            "videos": [
                {"video_id": stem, "split": "train", "start time": 0, "end time": 9} for stem in stems
            ],
            "sentences": [
                {"video_id": stems[row // per_medium], "sen_id": row, "caption": text}
                for row, text in enumerate(texts)
            ],
        }
    else:
        stems = [str(number) for number in media]
        document = [
            {
                "id": number,
                "regions": [
                    {
                        "region_id": row,
                        "image_id": number,
                        "phrase": texts[row],
                        "x": 1,
                        "y": 2,
                        "width": 30,
                        "height": 40,
                    }
                    for row in range(number * per_medium, (number + 1) * per_medium)
                ],
            }
            for number in media
        ]
    (folder / "media").mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document), encoding="utf-8")
    for stem in stems:
        (folder / "media" / f"{stem}.mp4").touch()


def _tokenize_nothing(texts: Sequence[str]) -> Any:
    return None


def start_up(dataset: str, folder: Path, clock: str) -> dict[str, float]:
    """Read a corpus as the builder does; return seconds and memory."""
    from clipbert_mmf.annotations.sources import AnnotationSource, load_sources
    from clipbert_mmf.tasks.datasets import SPECS
    from clipbert_mmf.tasks.task import TASKS
    from clipbert_mmf.video.stores.open import open_store

    spec = SPECS[dataset]
    reset_peak()
    before, now = read_resident_mib(), CLOCKS[clock]
    begin = now()
    records = load_sources([AnnotationSource(CORPORA[dataset][0])], folder, spec.corpus, where="annotations")
    maker = TASKS[spec.task].training_items(records, _tokenize_nothing, is_training=True)
    store = open_store(str(folder / "media"))
    missing = sum(maker.records.media_keys[medium] not in store for medium in range(maker.num_media))
    seconds, peak = now() - begin, read_peak_mib() - before
    if missing:
        raise AssertionError(f"{missing} media are not in the store")
    gc.collect()
    held = read_resident_mib() - before
    return {
        "seconds to start": seconds,
        "MiB held": held,
        "peak MiB while reading": peak,
        "MiB of a worker": _measure_worker(maker, store),
    }


def _measure_worker(maker, store) -> float:
    """Return what a forked worker holds for itself after 10,000 random items."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        before = read_private_mib()
        rng = random.Random(1)
        for _ in range(10_000):
            item = rng.randrange(len(maker))
            row = int(maker.groups.rows(maker.segment_index(item))[0])
            _ = maker.media_key(item) in store, maker.records[row].text
        os.write(write_end, str(read_private_mib() - before).encode())
        os._exit(0)
    os.wait()
    return float(os.read(read_end, 64))


if __name__ == "__main__":
    print(json.dumps(start_up(sys.argv[1], Path(sys.argv[2]), sys.argv[3])))
