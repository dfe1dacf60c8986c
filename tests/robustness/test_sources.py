"""Nothing that lies among media hangs, fills the memory, kills the process or leads out of a store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest

from clipbert_mmf.library.encoding import hold_source
from clipbert_mmf.video.check import StoreChecker
from clipbert_mmf.video.clips import ClipOptions, ClipReader
from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.errors import MediaError, StoreError
from clipbert_mmf.video.images import read_image
from clipbert_mmf.video.sources import read_source
from clipbert_mmf.video.stores.build import build_store
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.stores.tar import read_index
from tests.video.stores.conftest import write_tar

ROOT = Path(__file__).resolve().parents[2]


class BareStore(FolderStore):
    """A folder whose listing is older than what lies there now."""

    def _find(self, handle, key):
        return Path(self.location, f"{key}.mp4")

    def _list(self, handle):
        return iter(sorted(path.stem for path in Path(self.location).iterdir()))


@pytest.fixture
def odd_folder(tmp_path):
    """A folder with a pipe, a device and links to both in place of videos."""
    folder = tmp_path / "odd"
    folder.mkdir()
    os.mkfifo(folder / "pipe.mp4")
    (folder / "link.mp4").symlink_to("pipe.mp4")
    (folder / "zero.mp4").symlink_to("/dev/zero")
    return folder


@pytest.mark.parametrize("name", ["pipe", "link", "zero"])
def test_what_is_no_file_is_not_opened(odd_folder, name):
    path = odd_folder / f"{name}.mp4"
    for read in (
        read_source,
        read_image,
        hold_source,
        lambda path: read_frames(path, np.zeros(1)),
        lambda path: ClipReader(ClipOptions(image_size=32)).read_source(path),
    ):
        with pytest.raises(MediaError, match="is a (pipe|device); expected a file"):
            read(path)


def test_a_check_and_a_build_name_what_is_no_file(odd_folder, tmp_path):
    store = BareStore(str(odd_folder))
    assert FolderStore(str(odd_folder)).keys() == []
    for key in store.keys():  # noqa: SIM118  a method
        assert "expected a file" in StoreChecker(store, timeout_sec=20).check(key).reason
    report = build_store(store, tmp_path / "out", "lmdb")
    assert sorted(report.failed) == ["link", "pipe", "zero"] and report.num_media == 0


def test_a_file_above_the_limit_is_not_read(tmp_path):
    path = tmp_path / "sparse.mp4"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(MediaError, match=r"the file has 1099511627776 bytes; at most \d+ are read"):
        read_source(path)


def make_lmdb(folder: Path, num_media: int = 60) -> Path:
    environment = lmdb.open(str(folder), map_size=1 << 26)
    for start in range(0, num_media, 20):
        with environment.begin(write=True) as transaction:
            for number in range(start, start + 20):
                transaction.put(f"v{number:03d}".encode(), bytes([number]) * (9000 if number % 3 else 50))
    environment.close()
    return folder / "data.mdb"


READ_ALL = """
import sys
from clipbert_mmf.video.stores.open import open_store
from clipbert_mmf.video.errors import MediaError
try:
    store = open_store(sys.argv[1])
    print(sum(len(store.read(key)) for key in store.keys()))
except MediaError as error:
    print("MediaError", error)
"""


def test_a_cut_lmdb_is_an_error_and_kills_nothing(tmp_path):
    data = make_lmdb(tmp_path / "store")
    whole = data.read_bytes()
    assert len(open_store(tmp_path / "store").keys()) == 60
    rng = np.random.default_rng(0)
    copy = tmp_path
    for number, size in enumerate(
        [4096, 8192, 12288, len(whole) // 2, *rng.integers(0, len(whole) - 4096, 20)]
    ):
        copy = tmp_path / f"cut{number}"
        copy.mkdir()
        (copy / "data.mdb").write_bytes(whole[: int(size)])
        with pytest.raises(StoreError, match="is cut: the file has|not a readable LMDB"):
            open_store(copy).keys()
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(copy)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "MediaError" in done.stdout


def test_an_lmdb_from_which_much_was_deleted_is_whole(tmp_path):
    make_lmdb(tmp_path / "store")
    environment = lmdb.open(str(tmp_path / "store"), map_size=1 << 26)
    for number in range(59, 9, -1):
        with environment.begin(write=True) as transaction:
            transaction.delete(f"v{number:03d}".encode())
    environment.close()
    assert len(open_store(tmp_path / "store").keys()) == 10


def test_keys_that_lead_out_of_an_lmdb_are_left_out(tmp_path, caplog):
    environment = lmdb.open(str(tmp_path / "store"))
    with environment.begin(write=True) as transaction:
        for key in ("../../x", "/etc/x", "a/../../x", "..\\x", "x\0y", "deep/good"):
            transaction.put(key.encode(), b"\0\0\0\x18ftypmp42")
    environment.close()
    store = open_store(tmp_path / "store")
    assert store.keys() == ["deep/good"] and "../../x" not in store
    assert "5 names are absolute, lead out of the store" in caplog.text
    report = build_store(store, tmp_path / "deep" / "out", "folder")
    assert report.num_media == 1
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {file for file in files if not file.startswith("store")} == {
        "deep/out/.build.json",
        "deep/out/.sources.jsonl",
        "deep/out/deep/good.mp4",
    }


@pytest.mark.parametrize(
    "lie",
    [
        lambda index: index["places"].update(one=[0, 1 << 60]),
        lambda index: index["places"].update({"one.mp4": [512, -1]}),
        lambda index: index["places"].update({"one.mp4": [1024, 5]}),
        lambda index: index["places"].update({"one.mp4": ["512", 5]}),
        lambda index: index["places"].update({"one.mp4": [512.0, 5]}),
        lambda index: index["places"].update({"../one.mp4": [512, 5]}),
        lambda index: index.update(places=["one.mp4"]),
        lambda index: index.update(places=None),
        lambda index: index.update(doubled=3),
        lambda index: index.update(damage=["x"]),
        lambda index: index.update(unnamed=[1]),
        lambda index: index.pop("checksum"),
        lambda index: index["places"].pop("two.mp4"),
    ],
)
def test_a_lying_index_of_a_tar_is_made_anew(tmp_path, caplog, lie):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"first", "two.mp4": b"second"})
    expected = read_index(str(shard)).places
    path = tmp_path / "s" / "a.tar.index"
    index = json.loads(path.read_text())
    lie(index)
    path.write_text(json.dumps(index))
    assert open_store(shard).read("one") == b"first"
    assert read_index(str(shard)).places == expected and "is broken; made anew" in caplog.text


def test_an_index_without_end_or_a_pipe_in_its_place_is_made_anew(tmp_path, caplog):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"first"})
    path = tmp_path / "s" / "a.tar.index"
    path.write_text("[" * 100_000)
    assert open_store(shard).read("one") == b"first" and "is broken; made anew" in caplog.text
    path.unlink()
    os.mkfifo(path)
    assert open_store(shard).read("one") == b"first"
