"""A file that cannot be written is named with the space that is left, and the old one stays."""

import errno
import re

import pytest

from clipbert_mmf.writing import WriteError, naming, replacing, write_text_atomically


def test_errors_of_the_system_and_of_libraries_become_one_sentence(tmp_path):
    path = tmp_path / "deep" / "a.bin"
    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("enforce fail at inline_container"),
    ):
        told = rf"{re.escape(str(path))} could not be written: {error.args[-1]}; [\d.]+ MiB are free there"
        with pytest.raises(WriteError, match=told), naming(path):
            raise error
    with pytest.raises(KeyError), naming(path):
        raise KeyError("a defect keeps its kind")


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomically("old", path)
    with pytest.raises(WriteError, match="No space left on device"), replacing(path) as partial:
        partial.write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
