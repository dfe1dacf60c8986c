"""The folders of configurations are found, in a checkout and in a wheel."""

import pytest

from clipbert_mmf import paths


def test_a_checkout_has_both_folders_beside_the_package():
    assert (paths.config_dir() / "models" / "clipbert" / "defaults.yaml").is_file()
    assert (paths.project_dir() / "clipbert" / "configs").is_dir() and paths.config_dir().is_absolute()


def test_the_folder_inside_a_wheel_comes_first(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(paths, "_BUNDLED", tmp_path)
    assert paths.config_dir() == tmp_path / "configs"


def test_a_broken_installation_is_told_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "_BUNDLED", tmp_path)
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "deep" / "clipbert_mmf")
    with pytest.raises(
        FileNotFoundError, match=r"'configs/' is neither in .* reinstall clipbert_mmf with pip"
    ):
        paths.config_dir()
