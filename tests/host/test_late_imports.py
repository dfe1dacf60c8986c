"""Functions of slow libraries are imported when they are called, by listed modules alone."""

import builtins
import subprocess
import sys
from types import SimpleNamespace

import pytest

from clipbert_mmf.host.late_imports import LATE_IMPORTS, delay_imports
from clipbert_mmf.host.loading import LateLoader
from tests.host.test_hook import ROOT


@pytest.fixture
def list_json(monkeypatch):
    """A module 'toy' imports json.tool's name 'dumps' late; return what it imports for real."""
    monkeypatch.setitem(LATE_IMPORTS, "toy", {"json": frozenset({"dumps"})})
    imported: list[str] = []

    def import_plainly(name, *args):
        imported.append(name)
        return builtins.__import__(name, *args)

    return import_plainly, imported


def run(source: str, importer: str, plain_import) -> dict:
    names = {"__builtins__": {**vars(builtins), "__import__": delay_imports(plain_import, importer)}}
    exec(source, names)
    return names


def test_a_listed_function_is_imported_at_its_call(list_json):
    plain_import, imported = list_json
    names = run("from json import dumps", "toy", plain_import)
    assert imported == [] and names["dumps"].__name__ == "dumps"
    assert names["dumps"]([1], indent=None) == "[1]"


def test_a_listed_module_is_imported_with_its_first_name(list_json, monkeypatch):
    plain_import, imported = list_json
    monkeypatch.setitem(LATE_IMPORTS, "toy", {"json": frozenset()})
    names = run("import json as j", "toy", plain_import)
    assert imported == [] and names["j"] is not sys.modules["json"]
    assert names["j"].dumps([1]) == "[1]"
    run("from json import dumps", "toy", plain_import)
    assert imported == ["json"]


def test_names_of_a_module_inside_a_late_one_may_be_defaults(list_json, monkeypatch):
    plain_import, imported = list_json
    monkeypatch.setitem(LATE_IMPORTS, "toy", {"json.decoder": frozenset({"JSONDecoder"})})
    names = run("import json.decoder as d\ndef read(kind=d.JSONDecoder): return kind", "toy", plain_import)
    assert imported == [] and names["read"]()().decode("[1]") == [1]
    assert names["d"].NaN is sys.modules["json.decoder"].NaN


@pytest.mark.parametrize("source", ["from json import dumps, loads", "from json import *"])
def test_any_other_import_happens_at_once(list_json, source):
    plain_import, imported = list_json
    run(source, "toy", plain_import)
    assert imported == ["json"]


def test_modules_that_are_not_listed_import_as_ever(list_json):
    plain_import, _ = list_json
    assert delay_imports(plain_import, "other") is plain_import


def test_the_loader_is_the_modules_own_beside_running_it(list_json):
    own = SimpleNamespace(
        path="here", exec_module=lambda module: exec("from json import dumps", vars(module))
    )
    module = type(sys)("toy")
    loader = LateLoader(own)
    loader.exec_module(module)
    assert loader.path == "here" and module.dumps([]) == "[]"


def test_mmf_starts_without_slow_libraries_and_calls_them_when_asked():
    code = (
        "import gc, sys, mmf; from mmf.utils.env import setup_imports; setup_imports();"
        "slow = {'sklearn', 'scipy', 'pandas', 'torchvision', 'transformers', 'torch._dynamo', 'matplotlib'}"
        " & set(sys.modules);"
        "from mmf.datasets.processors import bert_processors, image_processors;"
        "from transformers import AutoTokenizer;"
        "assert bert_processors.AutoTokenizer.from_pretrained == AutoTokenizer.from_pretrained;"
        "assert image_processors.transforms.Compose([len])([1]) == 1;"
        "from mmf.modules.metrics import roc_auc_score;"
        "from transformers.generation.candidate_generator import roc_curve;"
        "print(slow, gc.isenabled(), float(roc_auc_score([0, 1], [0.2, 0.9])), len(roc_curve([0, 1], [0.2, 0.9])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import clipbert_mmf; {code}"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.split("\n")[-2:-1] == ["set() True 1.0 3"], done.stderr
