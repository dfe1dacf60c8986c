"""A handler of iopath makes a remote folder a store."""

from pathlib import Path

import pytest

from clipbert_mmf.inference.media import open_media
from clipbert_mmf.video import sources
from clipbert_mmf.video.errors import MediaError, MissingMediaError, StoreError
from clipbert_mmf.video.stores.open import open_store
from tests.video.stores.conftest import read_bytes


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

        def _isdir(self, path, **kwargs):
            return Path(self._local(path)).is_dir()

        def _exists(self, path, **kwargs):
            return Path(self._local(path)).exists()

    iopath.g_pathmgr.register_handler(Bucket(), allow_override=True)
    store = open_store("bucket://", cache_dir=str(tmp_path / "cache"))
    assert [read_bytes(store, "deep") for _ in range(3)] == [b"ten"] * 3
    assert opened == ["bucket://x/y/z/deep.mp4"] and len(store) == 4
    by_pattern = open_store("bucket://{key}.mp4")
    assert (
        by_pattern.read("x/y/z/deep") == b"ten"
        and "x/y/z/deep.avi" in by_pattern
        and "gone" not in by_pattern
    )
    with pytest.raises(MissingMediaError, match="no file bucket://gone.mp4"):
        by_pattern.read("gone")
    with pytest.raises(StoreError, match="cannot be listed"):
        by_pattern.keys()


def test_a_remote_file_has_a_limit_and_no_key_leads_out_of_the_cache(tmp_path, stores, monkeypatch, caplog):
    iopath = pytest.importorskip("iopath.common.file_io")

    class Endless(iopath.PathHandler):
        def _get_supported_prefixes(self):
            return ["endless://"]

        def _open(self, path, mode="r", buffering=-1, **kwargs):
            return open(
                "/dev/zero" if "zero" in path else stores["iopath"] / "x" / "y" / "z" / "deep.mp4", mode
            )

    iopath.g_pathmgr.register_handler(Endless(), allow_override=True)
    monkeypatch.setattr(sources, "MAX_SOURCE_BYTES", 5 << 20)
    store = open_store("endless://{key}.mp4", cache_dir=str(tmp_path / "deep" / "cache"))
    for read in (lambda: store.read("zero"), lambda: open_media("endless://zero.mp4")):
        with pytest.raises(MediaError, match="the file has more than 5242880 bytes; no more are read"):
            read()
    assert store.read("../../../../../../../outside").name == "outside.mp4"
    files = [path for path in tmp_path.rglob("outside*") if path.is_file()]
    assert len(files) == 1 and files[0].is_relative_to(tmp_path / "deep" / "cache")
    (tmp_path / "file").write_text("a file where the cache should be")
    store = open_store("endless://{key}.mp4", cache_dir=str(tmp_path / "file"))
    assert [store.read("good"), store.read("good")] == [b"ten"] * 2
    assert caplog.text.count("could not be written") == 1


def test_a_scheme_that_nothing_handles_is_named():
    with pytest.raises(StoreError, match=r"cannot be listed: .*; iopath must know the scheme 'nowhere'"):
        open_store("nowhere://bucket/videos").keys()
