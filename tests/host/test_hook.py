"""The import hook in interpreters of its own: cheap without MMF, complete with it, switched off on demand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipbert_mmf.host import hook

ROOT = Path(__file__).resolve().parents[2]


def run(code: str, **env: str) -> str:
    """Run a program in a new interpreter that finds the package by its path alone.

    Return what it printed last.
    """
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("CLIPBERT_MMF", "MMF_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment, "PYTHONPATH": str(ROOT), **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def test_the_hook_imports_nothing_heavy():
    loaded = run(
        "import sys; before = set(sys.modules); from clipbert_mmf.host import hook; hook.install();"
        "print(sorted(set(sys.modules) - before - {'clipbert_mmf', 'clipbert_mmf.host', "
        "'clipbert_mmf.host.hook'}))"
    )
    assert loaded == "[]"


def test_the_hook_costs_under_a_millisecond_when_mmf_is_not_imported():
    # The best of several interpreters: a busy machine only ever adds.
    code = (
        "import time; begin = time.perf_counter();"
        "from clipbert_mmf.host import hook; hook.install(); print(time.perf_counter() - begin)"
    )
    run(code)
    assert min(float(run(code)) for _ in range(7)) < 1e-3


def test_other_imports_pass_untouched():
    assert hook.MmfFinder.find_spec("mmfoo") is None
    assert hook.MmfFinder.find_spec("torch") is None


def test_importing_mmf_registers_everything_in_main_and_spawned_processes():
    program = ROOT / "tests" / "host" / "spawn_program.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.strip().splitlines()[-1]
        == "main: ClipBertModel; spawned: ClipBertModel; worker: ClipBertModel"
    )


def test_importing_the_package_after_mmf_registers_too():
    assert (
        run(
            "import clipbert_mmf.host.loading as loading, sys; from clipbert_mmf.host import hook;"
            "registered = []; loading.register_plugin = lambda: registered.append(1);"
            "import mmf; registered.clear(); hook.install(); print(registered)"
        )
        == "[1]"
    )


@pytest.mark.parametrize("value, installed", [("0", False), ("1", True)])
def test_an_environment_variable_switches_it_off(value, installed):
    code = "import sys; from clipbert_mmf.host import hook; hook.install(); print(hook.MmfFinder in sys.meta_path)"
    assert run(code, CLIPBERT_MMF_HOST=value) == str(installed)


def test_our_user_directory_may_be_named_too():
    assert (
        run(
            "import clipbert_mmf, mmf, argparse; from mmf.utils.configuration import Configuration;"
            "from mmf.common.registry import registry;"
            "Configuration(argparse.Namespace(opts=['config=projects/clipbert/configs/msrvtt_retrieval/demo.yaml',"
            "'model=clipbert', 'dataset=msrvtt_retrieval'], config_override=None));"
            "print(registry.get_model_class('clipbert').__name__)",
            MMF_USER_DIR=str(ROOT / "clipbert_mmf"),
        )
        == "ClipBertModel"
    )


def test_any_adapter_may_be_imported_first():
    program = ROOT / "tests" / "host" / "import_orders.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stderr
    problems = json.loads(done.stdout.strip().splitlines()[-1])
    assert problems == dict.fromkeys(problems)
