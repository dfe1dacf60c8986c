"""Standard streams that are closed, full, or whose reader leaves end a command in one line or quietly."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import make_environment

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = f"'{sys.executable}' -m clipbert_mmf.cli.main"


def run_shell(line: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", line.replace("clipbert", PROGRAM)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=make_environment(),
        timeout=120,
    )


@pytest.mark.parametrize("words", ["--help", "inspect --help"])
def test_a_reader_that_leaves_ends_a_command_quietly(words):
    done = run_shell(f"(sleep 0.2; clipbert {words}) | true; exit ${{PIPESTATUS[0]}}")
    # argparse swallows the error where Python writes at once (PYTHONUNBUFFERED).
    assert done.returncode in (141, 0) and (done.stdout, done.stderr) == ("", "")


def test_closed_and_full_streams_are_told_in_one_line():
    done = run_shell("clipbert --help >&-")
    assert done.returncode == 1
    assert done.stderr == "clipbert: standard output is closed; redirect it, for example with >/dev/null\n"
    done = run_shell("clipbert --version 2>&- <&-")
    assert done.returncode == 0 and done.stdout.startswith("clipbert_mmf ")
    done = run_shell("clipbert --version >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "clipbert: standard output could not be written: No space left on device\n"


def test_letters_that_a_terminal_lacks_are_written_out():
    code = "from clipbert_mmf.cli.streams import write_output; write_output('M\\u00e4dchen\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=make_environment(PYTHONIOENCODING="ascii"),
    )
    assert (done.returncode, done.stdout) == (0, "M\\xe4dchen\n"), done.stderr
