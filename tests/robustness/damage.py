"""Damages files and requests at random, and reads them as the product does: a value, or a typed error in one line.

``python -m tests.robustness.damage --inputs 20000 --seed 1`` prints what was found as JSON; a defect is listed with
the number of its input, which the same seed gives again.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import random
import resource
import shutil
import signal
import socket
import tarfile
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import torch
from PIL import Image

from clipbert_mmf.annotations.formats import read_annotations
from clipbert_mmf.inference.predictions import evaluate_predictions, read_predictions
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.library.rows import Row, RowFacts
from clipbert_mmf.library.store import (
    LibraryError,
    LibrarySettings,
    LibraryStore,
    ModelIdentity,
    create_library_store,
    open_library_store,
)
from clipbert_mmf.retrieval.score_store import ScoreStore
from clipbert_mmf.training.checkpoint_files import read_state
from clipbert_mmf.video.decode import describe_video, read_frames
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.findings import read_journal
from clipbert_mmf.video.images import read_image
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.stores.tar import read_index
from clipbert_mmf.weights.files import read_weights
from tests.encoded_media import write_video

#: Errors that say what is wrong with a file; anything else is a defect.
TYPED = (MediaError, ValueError, FileNotFoundError, LibraryError)
#: Longest time for one input.
LIMIT_SEC = 60
#: A form with a file that is no video.
_UPLOAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nhi\r\n--x--'
_WORDS = [
    b"[",
    b"{",
    b'"',
    b",",
    b"\0",
    b"\xff",
    b"\n",
    b"1e999",
    b"NaN",
    b"-1",
    b"9" * 40,
    b"null",
    b"../../x",
    b"=1+1",
]


def _make_library(folder: Path) -> LibraryStore:
    """Return an index of 300 rows, written in three commits, with partitions of embeddings."""
    store = create_library_store(
        folder, LibrarySettings(ModelIdentity("0" * 16, "model"), "videos", "video", 8)
    )
    vectors = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for start in range(0, 300, 100):
        rows = [Row(RowFacts(f"{n}.mp4", "video"), vectors[n]) for n in range(start, start + 100)]
        store.append(rows)
    store.build_vector_index()
    store.remove(["7.mp4"])
    store.seal()
    return store


def _find_hits(store: LibraryStore) -> list[tuple[str, float]]:
    """Return what a first stage finds, read as ``Library`` does."""
    if not store.wait_for_seal():
        store.check()
        store.trusts_vectors = False
    vector = np.eye(8, dtype=np.float32)[0]
    found = store.find_nearest(vector, 20, index=store.vector_index)
    rows = store.read_numbered([number for number, _ in found])
    return [(row.facts.path, round(value, 5)) for row, (_, value) in zip(rows, found, strict=True)]


def damage(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to four faults: flips, cuts, zeros, copies, and words that parsers stumble over."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 64, 512))
        kind = rng.randrange(7)
        if kind == 0 and data:
            for _ in range(size):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + size]
        elif kind == 3:
            data[place : place + size] = bytes(len(data[place : place + size]))
        elif kind == 4:
            data[place:place] = rng.choice(_WORDS) * rng.choice((1, 1, 3, 2000))
        elif kind == 5:
            data[place:place] = data[place : place + size] * rng.choice((1, 20))
        else:
            data[place : place + 8] = rng.randbytes(8)
    return bytes(data)


class Inputs:
    """The kinds of inputs: each is made whole once, then damaged and read.

    Args:
        folder: everything is written below it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.media = {"a": write_video(folder / "a.mp4", 12, fps=6).read_bytes(), "b": os.urandom(3000)}
        self.client: Any = None
        self.kinds: dict[str, Callable[[random.Random], None]] = {
            name.removeprefix("read_"): getattr(self, name) for name in dir(self) if name.startswith("read_")
        }
        if importlib.util.find_spec("lancedb") is None:
            del self.kinds["library"]
        self.hits: list[tuple[str, float]] = []

    def _write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        if path.parent != self.folder:
            shutil.rmtree(path.parent, ignore_errors=True)
            path.parent.mkdir()
        path.write_bytes(data)
        return path

    def read_table(self, rng: random.Random) -> None:
        rows = [{"video": f"v{n}", "text": f"a man {n}", "split": "train", "text_id": n} for n in range(20)]
        ending, whole = rng.choice(
            (
                ("csv", "video,text,split\n" + "".join(f'v{n},"a man, {n}",train\n' for n in range(20))),
                ("jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
                ("json", json.dumps(rows)),
                ("tsv", "video\ttext\n" + "".join(f"v{n}\ta man {n}\n" for n in range(20))),
            )
        )
        path = self._write(f"table.{ending}", damage(whole.encode(), rng))
        for record in read_annotations(path, "video_text"):
            assert isinstance(record.text, str) and isinstance(record.media_key, str)

    def read_tar(self, rng: random.Random) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, data in self.media.items():
                member = tarfile.TarInfo(f"{name}.mp4")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        path = self._write("tar/s.tar", damage(buffer.getvalue(), rng))
        store = open_store(path)
        for key in store.keys():  # noqa: SIM118
            assert len(store.read(key)) <= path.stat().st_size

    def read_tar_index(self, rng: random.Random) -> None:
        path = self._write("tar/s.tar", b"")
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo("a.mp4")
            member.size = len(self.media["a"])
            archive.addfile(member, io.BytesIO(self.media["a"]))
        read_index(str(path))
        index = Path(f"{path}.index")
        index.write_bytes(damage(index.read_bytes(), rng))
        assert open_store(path).read("a") == self.media["a"]

    def read_lmdb(self, rng: random.Random) -> None:
        path = self._write("lmdb/data.mdb", b"")
        path.unlink()
        with (
            lmdb.open(str(path.parent), map_size=1 << 22) as environment,
            environment.begin(write=True) as transaction,
        ):
            for number in range(30):
                transaction.put(f"{number:03d}".encode(), self.media["a"] if number % 3 else b"short")
        path.write_bytes(damage(path.read_bytes(), rng))
        store = open_store(path.parent)
        for key in store.keys():  # noqa: SIM118
            store.read(key)

    def read_library(self, rng: random.Random) -> None:
        whole, folder = self.folder / "library", self.folder / "damaged_library"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder, copy_function=shutil.copy)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        path = rng.choice(files)
        kind = rng.randrange(5)
        if kind == 0:
            path.unlink()
        elif kind == 1:
            path.write_bytes(b"")
        elif kind == 2:
            path.write_bytes(rng.choice(files).read_bytes())
        else:
            path.write_bytes(damage(path.read_bytes(), rng))
        assert _find_hits(open_library_store(folder)) == self.hits

    def read_scores(self, rng: random.Random) -> None:
        store = ScoreStore(self.folder / "scores", {"a": "b"})
        shutil.rmtree(store.folder, ignore_errors=True)
        store.open()
        texts, scores = torch.arange(5), torch.arange(10.0).reshape(5, 2)
        for video in range(3):
            store.write(video, texts, scores + video)
        path = rng.choice(sorted(store.place.iterdir()))
        path.write_bytes(damage(path.read_bytes(), rng))
        for video, found, values in store.read(3, 5):
            assert torch.equal(found, texts) and torch.equal(values, scores + video)

    def read_checkpoint(self, rng: random.Random) -> None:
        state = {"model": {"w": torch.arange(500.0)}, "num_updates": 3, "config": {"a": [1, None]}}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        path = self._write("c.ckpt", damage(buffer.getvalue(), rng))
        found = read_state(path)
        assert torch.equal(found["model"]["w"], state["model"]["w"]) and found["num_updates"] == 3

    def read_weights(self, rng: random.Random) -> None:
        from safetensors.torch import save

        tensors = {"layer.weight": torch.arange(200.0).reshape(10, 20)}
        buffer = io.BytesIO()
        torch.save(tensors, buffer, _use_new_zipfile_serialization=rng.random() < 0.5)
        name, data = rng.choice((("w.safetensors", save(tensors)), ("w.pth", buffer.getvalue())))
        file = read_weights(self._write(name, damage(data, rng)))
        assert all(isinstance(value, torch.Tensor) for value in file.tensors.values())

    def read_predictions(self, rng: random.Random) -> None:
        records = [
            {
                **{"dataset": "d", "task": "retrieval", "item": n, "num_items": 3, "item_record": 0},
                **{
                    "num_item_records": 1,
                    "media_id": f"v{n}",
                    "readable": True,
                    "correct_text_ids": [f"t{n}"],
                },
                "scores": {f"t{m}": float(n == m) for m in range(3)},
                **{"texts": [], "clips": []},
            }
            for n in range(3)
        ]
        found = read_predictions(self._write("p.json", damage(json.dumps(records).encode(), rng)))
        assert all(np.isfinite(value) for value in evaluate_predictions(found).values())

    def read_configuration(self, rng: random.Random) -> None:
        text = (
            "model: clipbert\ntraining: {lr: 5e-5, list: [1, 2]}\nincludes: [x.yaml]\nb: &a {c: 1}\nd: *a\n"
        )
        (self.folder / "x.yaml").write_text("e: 1\n")
        read_yaml(self._write("c.yaml", damage(text.encode(), rng)))

    def read_journal(self, rng: random.Random) -> None:
        line = json.dumps({"key": "a", "store": "s", "stamp": "t", "settings": "u", "num_bytes": 3})
        for finding in read_journal(self._write("journal.jsonl", damage((line + "\n").encode() * 4, rng))):
            assert isinstance(finding.key, str)

    def read_video(self, rng: random.Random) -> None:
        data = damage(self.media["a"], rng)
        if describe_video(data).num_frames < 1000:
            assert read_frames(data, np.array([0.0, 0.5])).dtype == torch.uint8

    def read_picture(self, rng: random.Random) -> None:
        buffer = io.BytesIO()
        kind = rng.choice(("PNG", "JPEG", "GIF", "BMP", "WEBP"))
        Image.fromarray(np.arange(3000, dtype=np.uint8).reshape(20, 50, 3)).save(buffer, kind)
        assert read_image(damage(buffer.getvalue(), rng)).shape[0] == 3

    def read_request(self, rng: random.Random) -> None:
        method, path, form = rng.choice(
            (
                ("GET", "/", None),
                ("GET", "/media/abc", None),
                ("GET", "/picture/abc", None),
                ("GET", "/jobs/abc", None),
                ("POST", "/ask/score", b"video=abc&texts=a+man"),
                ("POST", "/evidence", b"video=abc&text=a&answer=b"),
                ("POST", "/upload", _UPLOAD),
            )
        )
        kind = "multipart/form-data; boundary=x" if path == "/upload" else "application/x-www-form-urlencoded"
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n"
        body = damage(form, rng) if form and rng.random() < 0.6 else form or b""
        head += f"Content-Length: {len(body)}\r\n\r\n"
        raw = (damage(head.encode(), rng) if rng.random() < 0.6 else head.encode()) + body
        status = self.client(raw)
        assert status in (0, 200, 202, 201, 308, *range(400, 500), 501, 505), status


def make_client(folder: Path) -> Callable[[bytes], int]:
    """Serve the page, and return a function that sends bytes to it and returns the status; 0 for none."""
    from transformers import BertTokenizerFast

    from clipbert_mmf.demo.server import make_app, make_server
    from tests.demo.small_page import make_model, make_session, write_folder

    place = folder / "page"
    (place / "tokenizer").mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man"]
    (place / "tokenizer" / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast.from_pretrained(str(place / "tokenizer")).save_pretrained(place / "tokenizer")
    model = make_model(place / "run", place / "tokenizer", "match")
    session = make_session(model, write_folder(place), place / "index")
    server = make_server(make_app(session, "damage"), "127.0.0.1", 0)
    threading.Thread(target=server.run, daemon=True).start()

    def send(raw: bytes) -> int:
        with socket.create_connection(("127.0.0.1", server.effective_port), timeout=LIMIT_SEC) as connection:
            try:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(4096)
            except ConnectionError:
                return 0
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0

    return send


class TookTooLong(BaseException):
    """An input that hangs."""


def _end(number: int, frame: Any) -> None:
    raise TookTooLong


def run(num_inputs: int, seed: int, kinds: list[str]) -> dict[str, Any]:
    """Read damaged inputs, and return what came of them."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outside = Path(tempfile.mkdtemp())
    folder = outside / "target" / "deep"
    folder.mkdir(parents=True)
    inputs, counts, defects = Inputs(folder), Counter[str](), list[str]()
    signal.signal(signal.SIGALRM, _end)
    chosen = [kind for kind in inputs.kinds if not kinds or kind in kinds]
    if "request" in chosen:
        inputs.client = make_client(folder)
    if "library" in chosen:
        inputs.hits = _find_hits(_make_library(folder / "library"))
    slowest, began = 0.0, time.monotonic()
    for number in range(num_inputs):
        kind = chosen[number % len(chosen)]
        started = time.monotonic()
        signal.alarm(LIMIT_SEC)
        try:
            inputs.kinds[kind](random.Random(f"{seed} {number}"))
            counts["value"] += 1
        except TYPED as error:
            counts["error"] += 1
            if "\n" in str(error).strip() or not str(error).strip() or type(error) is UnicodeDecodeError:
                defects.append(
                    f"{kind} {number}: no line of its own: {type(error).__name__}: {str(error)[:300]!r}"
                )
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            found = f"{type(error).__name__}: {str(error)[:200]} ({Path(place.filename).name}:{place.lineno})"
            defects.append(f"{kind} {number}: {found}")
        finally:
            signal.alarm(0)
        slowest = max(slowest, time.monotonic() - started)
    strays = [str(path) for path in outside.iterdir() if path.name != "target"]
    strays += [str(path) for path in (outside / "target").iterdir() if path.name != "deep"]
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    report = {
        "inputs": num_inputs,
        **counts,
        "defects": defects,
        "outside": strays,
        "children": children.read_text().split() if children.exists() else [],
        "memory_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024,
        "slowest_sec": round(slowest, 2),
        "seconds": round(time.monotonic() - began, 1),
    }
    shutil.rmtree(outside, ignore_errors=True)
    return report


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=[])
    options = parser.parse_args()
    print(json.dumps(run(options.inputs, options.seed, options.kinds)))


if __name__ == "__main__":
    main()
