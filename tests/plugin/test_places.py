"""Places that a configuration names: the home folder, and the user's package."""

import sys

import mmf  # noqa: F401
import pytest
from mmf.common.registry import registry
from mmf.utils.env import import_user_module
from omegaconf import OmegaConf

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin.places import expand_homes, find_user_dir
from tests.contract.test_every_key import build


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def package(tmp_path):
    """A package that nothing else is called like; it leaves the process afterwards."""
    folder = tmp_path / "places_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("IS_READ = True\n")
    config = registry.get("config", no_warning=True)
    yield folder
    sys.modules.pop(folder.name, None)
    # MMF's main imports one package in a process, and notes it.
    registry.unregister("__mmf_user_dir_imported__")
    registry.unregister("config")
    if config is not None:
        registry.register("config", config)


def test_the_home_folder_stands_for_its_sign_in_every_place(home):
    run = build("", ["env.save_dir=~/run", "checkpoint.resume_file=~/old/best.ckpt"])
    assert run.env.save_dir == f"{home}/run"
    assert run.checkpoint.resume_file == f"{home}/old/best.ckpt"
    other = OmegaConf.create({"env": {"save_dir": "a~/b"}, "checkpoint": {"resume_file": None}})
    expand_homes(other)
    assert other.env.save_dir == "a~/b" and other.checkpoint.resume_file is None


@pytest.mark.parametrize("form", ["{}", "{}/", "{}//", "./{}", "./{}/", "~/{}", "{}/../{}/"])
def test_a_package_is_imported_in_every_way_of_writing_its_place(form, package, home, monkeypatch):
    monkeypatch.chdir(home)
    import_user_module(form.format(package.name, package.name))
    assert sys.modules[package.name].IS_READ


def test_a_file_is_a_package_too(package):
    file = package / "places_of_a_file.py"
    file.write_text("IS_READ = True\n")
    try:
        import_user_module(str(file))
        assert sys.modules["places_of_a_file"].IS_READ
    finally:
        sys.modules.pop("places_of_a_file", None)


def test_a_package_that_would_not_be_imported_is_refused(tmp_path, caplog):
    with pytest.raises(ConfigurationError, match=r"env.user_dir is '/no/such': no such folder"):
        find_user_dir("/no/such")
    (tmp_path / "json").mkdir()
    find_user_dir(str(tmp_path / "json"))
    assert "has no __init__.py: nothing in it is imported" in caplog.text
    (tmp_path / "json" / "__init__.py").write_text("")
    with pytest.raises(ConfigurationError, match="another module is called 'json' already; rename"):
        find_user_dir(str(tmp_path / "json") + "/")
