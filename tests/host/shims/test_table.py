"""Every shim repairs something: with it the check passes on the real MMF, without it the check fails."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from clipbert_mmf.host.mmf_version import mmf_version
from clipbert_mmf.host.shims.table import SHIMS, SOURCE_SHIMS
from tests.host.shim_checks import CHECKS

PROGRAM = Path(__file__).parents[1] / "shim_checks.py"
NEEDED = sorted(name for name, versions in CHECKS.items() if mmf_version() in versions)
#: Shim -> the library and its first version that need it, where older supported ones do not.
SINCE = {
    "accept_missing_learning_rate": ("omegaconf", "2.1"),
    "accept_missing_options": ("omegaconf", "2.1"),
    "register_env_resolver": ("omegaconf", "2.1"),
    "write_config_as_yaml": ("omegaconf", "2.1"),
    "leave_transformers_alone": ("transformers", "4.53"),
    "load_without_post_init": ("transformers", "5"),
}


def is_needed(name: str) -> bool:
    library, first = SINCE.get(name, ("omegaconf", "0"))
    return Version(version(library)) >= Version(first)


@pytest.fixture(scope="module")
def results():
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("CLIPBERT_MMF", "MMF_"))
    }
    environment["PYTHONPATH"] = str(PROGRAM.parents[2])
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=250, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", NEEDED)
def test_with_the_shim_mmf_does_it(results, name):
    assert results[name]["on"] is None


@pytest.mark.parametrize("name", NEEDED)
def test_without_the_shim_mmf_does_not(results, name):
    problem = results[name]["off"]
    assert (problem is not None) == is_needed(name)


def test_every_shim_has_a_check_and_says_when_it_can_be_removed():
    shims = [(shim.patch, shim.versions) for shim in SHIMS]
    shims += [(shim.edit, shim.versions) for shim in SOURCE_SHIMS]
    assert sorted(function.__name__ for function, _ in shims) == sorted(CHECKS)
    for function, versions in shims:
        assert set(CHECKS[function.__name__]) <= set(versions), function.__name__
        assert re.search(r"Remove\s+(when|with)", function.__doc__), function.__name__
