"""A package of an extra is imported, or the error says what to type."""

import re
from pathlib import Path

import pytest

from clipbert_mmf.extras import import_extra


def test_what_is_missing_is_named_with_the_command():
    assert import_extra("json", "parquet", "JSON needs itself").dumps([]) == "[]"
    with pytest.raises(ImportError, match=r"a thing needs nothing: pip install no_such_package"):
        import_extra("no_such_package", "thing", "a thing needs nothing")


def test_every_extra_that_is_asked_for_is_declared():
    root = Path(__file__).resolve().parents[1]
    declared = (
        root.joinpath("pyproject.toml")
        .read_text(encoding="utf-8")
        .split("[project.optional-dependencies]")[1]
    )
    extras = set(re.findall(r"^([\w-]+) = \[", declared.split("\n[")[0], re.MULTILINE))
    calls = "".join(path.read_text(encoding="utf-8") for path in (root / "clipbert_mmf").rglob("*.py"))
    asked = set(re.findall(r"import_extra\(\s*[^,()]+,\s*\"([\w-]+)\"", calls))
    assert {"onnx", "mteb", "sentence-transformers", "torchcodec", "parquet"} <= asked <= extras
