"""A user's package is imported by its path, once, and what is wrong with it is told in one sentence."""

import sys

import pytest

from clipbert_mmf.inference.user_packages import UserPackageError, import_user_package


def write_package(folder, content="VALUE = 1\n"):
    folder.mkdir()
    (folder / "__init__.py").write_text(content)
    return folder


@pytest.fixture(autouse=True)
def modules_as_before():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_folder_and_a_file_are_imported_once_and_the_path_stays(tmp_path):
    folder = write_package(tmp_path / "parts_of_mine", "from parts_of_mine.inner import VALUE\n")
    (folder / "inner.py").write_text("VALUE = 2\n")
    (tmp_path / "one_file_of_mine.py").write_text("VALUE = 3\n")
    before = list(sys.path)
    module = import_user_package(folder)
    assert module.VALUE == 2 and import_user_package(folder) is module
    assert import_user_package(tmp_path / "one_file_of_mine.py").VALUE == 3
    assert sys.path == before and sys.modules["parts_of_mine"] is module


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(UserPackageError, match=r"'nowhere': expected a folder with an __init__.py"):
        import_user_package("nowhere")
    broken = write_package(tmp_path / "broken_of_mine", "import json\njson.nothing()\n")
    with pytest.raises(UserPackageError, match="cannot be imported: AttributeError: .*nothing"):
        import_user_package(broken)
    assert "broken_of_mine" not in sys.modules
    with pytest.raises(UserPackageError, match="another module is called 'json' already"):
        import_user_package(write_package(tmp_path / "json"))
