"""A handler of iopath makes a remote folder a store."""

from pathlib import Path

import pytest

from clipbert_mmf.video.errors import MissingMediaError, StoreError
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
