"""Stores: the same bytes under the same keys wherever they lie, in every process."""

import io
import multiprocessing
import pickle
import tarfile
from pathlib import Path

import pytest

from clipbert_mmf.video.errors import MissingMediaError, StoreError, TruncatedMediaError
from clipbert_mmf.video.stores.folder import FolderStore
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_lmdb

CONTENT = {"video7010": b"seven", "v_a-b": b"eight", "žluť": b"nine", "deep": b"ten"}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "media"
    names = {
        "video7010": "video7010.mp4",
        "v_a-b": "x/v_a-b.webm",
        "žluť": "x/žluť.GIF",
        "deep": "x/y/z/deep.mkv",
    }
    for key, name in names.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT[key])
    (root / ".hidden").write_bytes(b"no")
    return root


@pytest.fixture
def stores(folder, tmp_path):
    """Every kind of store, all with the same content."""
    write_tar(
        tmp_path / "shards" / "part-000.tar", {f"a/{key}.mp4": CONTENT[key] for key in ("video7010", "v_a-b")}
    )
    write_tar(
        tmp_path / "shards" / "part-001.tar", {"žluť.mp4": b"nine", "žluť.json": b"{}", "deep.gif": b"ten"}
    )
    flat = tmp_path / "flat"
    flat.mkdir()
    for key, value in CONTENT.items():
        (flat / f"{key}.mp4").write_bytes(value)
    return {
        "folder": folder,
        "lmdb": write_lmdb(tmp_path / "store_lmdb", CONTENT),
        "tar": tmp_path / "shards",
        "iopath": flat,
    }


KINDS = ["folder", "lmdb", "tar", "iopath"]


def write_tar(path, files):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def read_bytes(store, key):
    found = store.read(key)
    return found.read_bytes() if isinstance(found, Path) else found


@pytest.mark.parametrize("kind", KINDS)
class TestEveryStore:
    def test_gives_the_bytes_of_each_key(self, stores, kind):
        store = open_store(str(stores[kind]), kind)
        assert {key: read_bytes(store, key) for key in store.keys()}  # noqa: SIM118, a method of the store == CONTENT

    def test_lists_its_keys_in_order(self, stores, kind):
        store = open_store(stores[kind], kind)
        assert store.keys() == sorted(CONTENT) and len(store) == 4

    def test_knows_what_it_holds(self, stores, kind):
        store = open_store(stores[kind], kind)
        assert "deep" in store and "žluť" in store
        assert "deep.mkv" not in store and "" not in store and None not in store

    def test_a_missing_key_is_named_with_the_store(self, stores, kind):
        with pytest.raises(MissingMediaError, match="'gone' in .*: the store has no such key"):
            open_store(stores[kind], kind).read("gone")

    def test_survives_pickling_and_opens_anew(self, stores, kind):
        store = open_store(stores[kind], kind)
        read_bytes(store, "deep")
        copy = pickle.loads(pickle.dumps(store))
        assert copy._handle is None and read_bytes(copy, "deep") == b"ten"
        assert read_bytes(store, "deep") == b"ten"

    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_is_read_in_other_processes_at_once(self, stores, kind, start):
        store = open_store(stores[kind], kind)
        read_bytes(store, "deep")
        with multiprocessing.get_context(start).Pool(2) as pool:
            assert pool.map(Reader(store), list(CONTENT) * 5) == list(CONTENT.values()) * 5
        assert read_bytes(store, "deep") == b"ten"

    def test_opens_nothing_before_the_first_read(self, stores, kind):
        assert open_store(stores[kind], kind)._handle is None


class Reader:
    """Picklable, as a dataset in a worker is."""

    def __init__(self, store):
        self.store = store

    def __call__(self, key):
        return read_bytes(self.store, key)


def test_a_folder_is_listed_once_however_often_it_crosses_processes(folder, monkeypatch):
    store = FolderStore(str(folder))
    store.read("deep")
    copy = pickle.loads(pickle.dumps(store))
    monkeypatch.setattr("os.walk", lambda *args, **kwargs: pytest.fail("listed again"))
    assert copy.read("deep").name == "deep.mkv"


def test_two_files_with_one_stem_are_reported(folder, caplog):
    (folder / "a_first").mkdir()
    (folder / "a_first" / "deep.avi").write_bytes(b"other")
    store = open_store(folder)
    assert store.read("deep").name == "deep.avi"
    assert "1 keys stand for more than one file" in caplog.text


@pytest.mark.parametrize(
    ("name", "key"), [("12@N00_1_2.m.mp4", "12@N00_1_2.m"), ("bare.", "bare"), ("no_dot", "no_dot")]
)
def test_the_key_is_the_name_without_its_last_extension(tmp_path, name, key):
    (tmp_path / name).write_bytes(b"x")
    assert open_store(tmp_path).keys() == [key]


def test_an_lmdb_is_found_by_its_folder_and_by_its_file(stores):
    for location in (stores["lmdb"], stores["lmdb"] / "data.mdb"):
        assert open_store(location).read("deep") == b"ten"


def test_two_stores_at_one_lmdb_work_side_by_side(stores):
    first, second = open_store(stores["lmdb"]), open_store(stores["lmdb"])
    assert first.read("deep") == second.read("deep") == b"ten"


def test_an_lmdb_is_opened_read_only_without_a_lock_file(stores):
    (stores["lmdb"] / "lock.mdb").unlink(missing_ok=True)
    open_store(stores["lmdb"]).read("deep")
    assert not (stores["lmdb"] / "lock.mdb").exists()


def test_a_key_longer_than_lmdb_allows_is_simply_missing(stores):
    store = open_store(stores["lmdb"])
    assert "k" * 2000 not in store
    with pytest.raises(MissingMediaError):
        store.read("k" * 2000)


@pytest.mark.parametrize(
    ("location", "kind", "message"),
    [
        ("gone", "auto", "nothing is there"),
        ("file.txt", "auto", "no store"),
        ("", "ftp", "store kind is 'ftp'; allowed are auto, "),
    ],
)
def test_a_wrong_location_is_named(tmp_path, location, kind, message):
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(StoreError, match=message):
        open_store(tmp_path / location, kind)


def test_a_folder_that_is_none_is_an_error_at_the_first_read(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        open_store(tmp_path / "gone", "folder").keys()


def test_a_broken_lmdb_is_an_error(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a readable LMDB"):
        open_store(tmp_path).keys()


def test_the_index_of_a_shard_is_kept_and_made_anew_when_the_shard_changes(tmp_path):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1"})
    assert open_store(shard).keys() == ["one"]
    assert (tmp_path / "s" / "a.tar.index").is_file()
    write_tar(shard, {"one.mp4": b"first", "two.mp4": b"second"})
    store = open_store(tmp_path / "s")
    assert store.keys() == ["one", "two"] and store.read("two") == b"second"


def test_a_broken_index_is_made_anew(tmp_path, caplog):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1"})
    (tmp_path / "s" / "a.tar.index").write_text("{half")
    assert open_store(shard).read("one") == b"1"
    assert "is broken; made anew" in caplog.text


def test_a_compressed_tar_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("one.mp4"))
    with pytest.raises(StoreError, match="compressed ones cannot be read at random"):
        open_store(path).keys()


def test_a_shard_cut_short_names_itself(tmp_path):
    shard = tmp_path / "s" / "a.tar"
    write_tar(shard, {"one.mp4": b"1" * 5000})
    store = open_store(shard)
    store.keys()
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(TruncatedMediaError, match="a.tar ends before its index"):
        store.read("one")


def test_a_pattern_chooses_shards(stores):
    assert len(open_store(stores["tar"] / "part-*.tar")) == 4
    assert open_store(stores["tar"] / "part-001.tar").keys() == ["deep", "žluť"]


def test_a_leftover_tar_does_not_make_a_folder_a_tar_store(folder):
    write_tar(folder / "download.tar", {"x.mp4": b"1"})
    assert isinstance(open_store(folder), FolderStore)


def test_an_iopath_handler_plugs_in_and_its_reads_are_cached(tmp_path, stores):
    iopath = pytest.importorskip("iopath.common.file_io")
    opened = []

    class Bucket(iopath.PathHandler):
        def _get_supported_prefixes(self):
            return ["bucket://"]

        def _local(self, path):
            return path.replace("bucket://", f"{stores['iopath']}/").rstrip("/")

        def _open(self, path, mode="r", buffering=-1, **kwargs):
            opened.append(path)
            return open(self._local(path), mode)

        def _ls(self, path, **kwargs):
            return [entry.name for entry in Path(self._local(path)).iterdir()]

        def _exists(self, path, **kwargs):
            return Path(self._local(path)).exists()

    iopath.g_pathmgr.register_handler(Bucket(), allow_override=True)
    store = open_store("bucket://", cache_dir=str(tmp_path / "cache"))
    assert [read_bytes(store, "deep") for _ in range(3)] == [b"ten"] * 3
    assert opened == ["bucket://deep.mp4"] and len(store) == 4
    by_pattern = open_store("bucket://{key}.mp4")
    assert by_pattern.read("deep") == b"ten" and "deep" in by_pattern and "gone" not in by_pattern
    with pytest.raises(MissingMediaError, match="no file bucket://gone.mp4"):
        by_pattern.read("gone")
    with pytest.raises(StoreError, match="cannot be listed"):
        by_pattern.keys()
