"""The version of MMF is known from its files, before it is imported."""

import sys

import pytest

from clipbert_mmf.host.mmf_version import mmf_version


@pytest.fixture(autouse=True)
def _forget_the_answer(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "mmf"]:
        monkeypatch.delitem(sys.modules, name)
    mmf_version.cache_clear()
    yield
    mmf_version.cache_clear()


@pytest.mark.parametrize("folder, version", [("mmf/trainers", "release"), ("mmf/trainers/core", "main")])
def test_the_folder_of_the_trainer_tells_the_version(tmp_path, monkeypatch, folder, version):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mmf" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert mmf_version() == version


def test_without_mmf_the_error_names_the_command(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(ModuleNotFoundError, match=r"run: clipbert install-mmf"):
        mmf_version()
