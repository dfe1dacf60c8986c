"""The version is told in one place, which the build and the command line read."""

import re
from pathlib import Path

import clipbert_mmf
from clipbert_mmf.version import __version__

ROOT = Path(__file__).resolve().parent.parent


def test_the_version_is_a_release_or_a_pre_release_and_has_an_entry_in_the_changelog():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|a|b|rc)\d+)?", __version__)
    assert clipbert_mmf.__version__ == __version__
    assert __version__.split(".dev")[0] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_it_is_read_without_any_import():
    source = (ROOT / "clipbert_mmf" / "version.py").read_text(encoding="utf-8")
    assert "import" not in source.split('"""')[2]
