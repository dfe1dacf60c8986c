"""The package as users install it: the wheels are complete, and pip removes all of it again."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from clipbert_mmf.version import __version__

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is packaged, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("clipbert_mmf", "configs", "projects"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "_bundled"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(out), str(source))
    return next(out.glob("*.whl"))


@pytest.fixture()
def empty_environment(tmp_path):
    """A virtual environment that also finds the libraries of this one, but not this checkout."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    return python, site


def test_the_wheel_holds_the_pth_and_every_configuration_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "clipbert_mmf.pth" in names
    for folder in ("configs", "projects"):
        for path in (ROOT / folder).rglob("*.yaml"):
            assert f"clipbert_mmf/_bundled/{path.relative_to(ROOT)}" in names
    assert {f"{path.relative_to(ROOT)}" for path in (ROOT / "clipbert_mmf").rglob("*.py")} <= names
    templates = [path for ending in ("*.html", "*.j2") for path in (ROOT / "clipbert_mmf").rglob(ending)]
    assert len(templates) > 3 and {f"{path.relative_to(ROOT)}" for path in templates} <= names
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]


def test_the_wheel_names_its_version_licence_and_command(wheel):
    archive = zipfile.ZipFile(wheel)
    (folder,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    assert folder == f"clipbert_mmf-{__version__}.dist-info"
    metadata = archive.read(f"{folder}/METADATA").decode()
    assert "License :: OSI Approved :: BSD License" in metadata
    assert "Requires-Python: <3.14,>=3.10" in metadata
    assert any(name.startswith(folder) and name.endswith("LICENSE") for name in archive.namelist())
    assert "clipbert = clipbert_mmf.cli.main:main" in archive.read(f"{folder}/entry_points.txt").decode()
    assert "clipbert_mmf/py.typed" in archive.namelist()


@pytest.mark.parametrize("editable", [False, True])
def test_installing_puts_the_hook_in_place_and_uninstalling_removes_it(
    empty_environment, wheel, source, editable
):
    python, site = empty_environment
    target = ["-e", str(source)] if editable else [str(wheel)]
    run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", *target)
    question = "import sys; print([getattr(f, '__name__', '') for f in sys.meta_path].count('MmfFinder'))"
    assert run(str(python), "-c", question, cwd="/").strip() == "1"
    assert run(str(python), "-c", question, cwd="/", env={"CLIPBERT_MMF_HOST": "0"}).strip() == "0"
    paths = run(
        str(python), "-c", "from clipbert_mmf.paths import *; print(config_dir(), project_dir())", cwd="/"
    ).split()
    assert all(Path(path).is_dir() for path in paths)
    run(str(python), "-m", "pip", "uninstall", "--quiet", "-y", "clipbert_mmf")
    assert not (site / "clipbert_mmf.pth").exists()
    assert run(str(python), "-c", question, cwd="/").strip() == "0"


def test_a_pth_whose_package_is_gone_says_nothing(empty_environment, wheel):
    python, site = empty_environment
    zipfile.ZipFile(wheel).extract("clipbert_mmf.pth", site)
    done = subprocess.run([str(python), "-c", "print('fine')"], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("fine", "")
