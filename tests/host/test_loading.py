"""MMF's modules run with redirected imports, then get their shims."""

import importlib.machinery
import sys

import pytest

from clipbert_mmf.host import loading
from clipbert_mmf.host.skipped import SKIP


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that runs source as a module of MMF and returns the module."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(source, name="mmf_toy"):
        (tmp_path / f"{name}.py").write_text(source)
        spec = loading.find_wrapped_spec(name, None, None, [importlib.machinery.PathFinder])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return run


def test_a_module_of_mmf_imports_standins_and_leaves_no_trace(load):
    module = load("from transformers.configuration_bert import BertConfig\nimport os.path as path")
    assert module.BertConfig().model_type == "bert" and module.path.join("a", "b") == "a/b"
    assert "transformers.configuration_bert" not in sys.modules


def test_source_is_edited_before_and_patches_are_applied_after_a_module_runs(load, monkeypatch):
    def say_two(source):
        return source.replace("1", "2")

    def double(module):
        module.value *= 10

    monkeypatch.setattr(loading, "find_source_edits", lambda name: [say_two])
    monkeypatch.setattr(loading, "find_shims", lambda name: [double])
    assert load("value = 1").value == 20
    monkeypatch.setenv(SKIP, "say_two,other")
    assert load("value = 1").value == 10
    monkeypatch.setenv(SKIP, "say_two,double")
    assert load("value = 1").value == 1


def test_a_module_that_no_finder_has_stays_unknown():
    assert (
        loading.find_wrapped_spec("mmf_nothing", None, None, [object(), importlib.machinery.PathFinder])
        is None
    )
