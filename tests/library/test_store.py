"""The store of an index: what LanceDB raises becomes one line, other versions and tables are refused."""

import json

import pytest

from clipbert_mmf.library.store import (
    LibraryError,
    LibrarySettings,
    ModelIdentity,
    create_library_store,
    explain,
    open_library_store,
)

SETTINGS = LibrarySettings(ModelIdentity("0" * 16, "model"), "videos", "video", 4)


def test_a_full_disk_says_what_is_free_and_that_what_was_committed_is_whole(tmp_path):
    with pytest.raises(LibraryError) as error, explain(str(tmp_path / "index"), "written"):
        raise RuntimeError(
            "lance error: LanceError(IO): Generic LocalFileSystem error:\n No space left on device (os error 28)"
        )
    text = str(error.value)
    assert "the disk is full" in text and "MB are free" in text and "run the same command again" in text
    assert "\n" not in text
    with pytest.raises(LibraryError, match="could not be read: a reason in two lines"), explain("x", "read"):
        raise OSError("a reason\nin two lines")


def test_an_index_of_another_version_or_of_others_is_refused(tmp_path):
    lancedb = pytest.importorskip("lancedb")
    import pyarrow as pa

    create_library_store(tmp_path / "index", SETTINGS)
    assert open_library_store(tmp_path / "index").settings == SETTINGS
    content = {"clipbert_mmf": json.dumps({"version": 1})}
    for name, schema, message in [
        (
            "old",
            pa.schema([("path", pa.string())], metadata=content),
            "is of version 1, and this package writes",
        ),
        ("other", pa.schema([("path", pa.string())]), "holds no index of this package"),
    ]:
        lancedb.connect(str(tmp_path / name)).create_table("media", schema=schema)
        with pytest.raises(LibraryError, match=message):
            open_library_store(tmp_path / name)
