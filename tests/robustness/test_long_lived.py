"""A process that is asked often does not grow, and no command opens a connection."""

import gc
import os
import resource
import socket
import threading

import numpy as np
import pytest

from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.video.check import StoreChecker
from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_lmdb, write_video
from tests.inference.small_run import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("long")
    (folder / "videos").mkdir()
    data = write_video(folder / "videos" / "a.mp4", 20, fps=10).read_bytes()
    (folder / "videos" / "bad.mp4").write_bytes(data[:300])
    write_lmdb(folder / "lmdb", {"a": data, "bad": data[:300]})
    make_run(folder / "run", tokenizer_dir)
    return folder


def count_resources() -> tuple[int, int]:
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_a_process_of_many_calls_does_not_grow(folder):
    model = ClipBert.from_pretrained(folder / "run")
    checker = StoreChecker(open_store(folder / "videos"))

    def ask():
        model.score(folder / "videos" / "a.mp4", ["a man", "a dog"])
        read_frames(folder / "videos" / "a.mp4", np.array([0.5]))
        for place in ("videos", "lmdb"):
            store = open_store(folder / place)
            store.read("a")
        checker.check("bad")

    for _ in range(8):
        ask()
    before, memory = count_resources(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(30):
        ask()
    assert count_resources() == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 64 * 1024  # KiB
    checker._guard().close()


def test_no_command_opens_a_connection(folder, tmp_path, monkeypatch):
    asked = []

    def refuse(self, address):
        if self.family != socket.AF_UNIX:
            asked.append(address)
            raise OSError("no network in this test")
        return connect(self, address)

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words, **options: asked.append(words) or [])
    videos, run = str(folder / "videos"), ["--model", str(folder / "run")]
    for words, code in (
        (["score", *run, f"{videos}/a.mp4", "a man"], 0),
        (["search", *run, videos, "a man", "--no-index"], 0),
        (["check", videos, "--output", str(tmp_path / "check"), "--workers", "1"], 1),
        (["build-store", videos, str(tmp_path / "out"), "--to", "tar", "--workers", "1"], 1),
        (["inspect", str(folder / "run" / "best.ckpt")], 0),
        (["convert", *run, "--out", str(tmp_path / "model")], 0),
        (["report", str(folder / "run"), "--out", str(tmp_path / "page.html")], 0),
    ):
        assert main(words) == code, words
    assert asked == []
