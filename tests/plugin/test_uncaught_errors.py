"""What ends MMF's command line: a sentence for the user, a traceback for the log, both once."""

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.plugin import uncaught_errors
from clipbert_mmf.plugin.uncaught_errors import UncaughtErrors, claim_terminal, read_sentence
from clipbert_mmf.training.failure_reports import LostProcessError

ROOT = Path(__file__).resolve().parents[2]


def raise_from(path, error, options=()):
    """Raise an error as code of a file would; return it with its trace."""
    code = compile("def run(args):\n    raise error\nrun(args)", str(path), "exec")
    try:
        exec(code, {"error": error, "args": type("Namespace", (), {"opts": list(options)})})
    except Exception as caught:
        return caught


@pytest.fixture
def hook():
    seen = []
    return UncaughtErrors(lambda kind, error, trace: seen.append(error)), seen


def test_the_sentence_comes_last_and_the_traceback_lies_in_the_runs_folder(
    hook, tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(uncaught_errors.registry, "get", lambda *args, **more: None)
    error = raise_from(
        "/x/mmf_cli/run.py", ConfigurationError("a.b is 1"), [f"env.save_dir={tmp_path / 'run'}"]
    )
    hook[0](type(error), error, error.__traceback__)
    assert (
        hook[1] == []
        and capfd.readouterr().err == f"The traceback is in {tmp_path}/run/train.log\nmmf_run: a.b is 1\n"
    )
    assert "".join(traceback.format_exception(error)) in (tmp_path / "run" / "train.log").read_text()


def test_other_programs_and_defects_keep_their_traceback(hook, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(uncaught_errors.registry, "get", lambda *args, **more: None)
    for path, kind in (("/x/own_program.py", ValueError), ("/x/mmf_cli/run.py", KeyError)):
        error = raise_from(path, kind("a"), [f"env.save_dir={tmp_path}"])
        hook[0](kind, error, error.__traceback__)
        assert hook[1].pop() is error and capfd.readouterr().err == ""
    hook[0](KeyboardInterrupt, KeyboardInterrupt(), None)
    assert isinstance(hook[1].pop(), KeyboardInterrupt)


def test_a_folder_that_cannot_be_written_leaves_the_traceback_on_the_terminal(hook, tmp_path, monkeypatch):
    monkeypatch.setattr(uncaught_errors.registry, "get", lambda *args, **more: None)
    (tmp_path / "file").write_text("")
    error = raise_from("/x/mmf_cli/run.py", ValueError("a"), [f"env.save_dir={tmp_path / 'file' / 'run'}"])
    hook[0](ValueError, error, error.__traceback__)
    assert hook[1] == [error]


def test_a_sentence_of_our_own_needs_no_traceback(hook, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(uncaught_errors.registry, "get", lambda *args, **more: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").write_text("")
    error = raise_from("/x/mmf_cli/run.py", ConfigurationError("a.b is 1"), ["env.save_dir=~/file/run"])
    hook[0](type(error), error, error.__traceback__)
    assert hook[1] == [] and capfd.readouterr().err == "mmf_run: a.b is 1\n"
    assert not (Path.cwd() / "~").exists()


def test_a_data_workers_error_is_told_without_its_traceback():
    inner = "Traceback (most recent call last):\n  File 'x', line 1\n"
    inner += "clipbert_mmf.configuration.ConfigurationError: a.b is 1\nc"
    assert (
        read_sentence(ValueError(f"Caught ValueError in DataLoader worker process 0.\nOriginal {inner}"))
        == "a.b is 1\nc"
    )
    assert (
        read_sentence(
            RuntimeError(inner.replace("clipbert_mmf.configuration.ConfigurationError", "KeyError"))
        )
        is None
    )
    assert read_sentence(KeyError("a")) is None and read_sentence(ValueError("")) is None


def test_installing_twice_keeps_one_hook(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    uncaught_errors.install()
    first = sys.excepthook
    uncaught_errors.install()
    assert (
        sys.excepthook is first and isinstance(first, UncaughtErrors) and first.fallback is sys.__excepthook__
    )


def test_one_process_of_a_launch_tells_and_the_next_launch_tells_again(tmp_path):
    program = (
        "import mmf\n"
        "from clipbert_mmf.plugin.uncaught_errors import claim_terminal\n"
        "print(claim_terminal(True), claim_terminal(True), claim_terminal(False))"
    )
    variables = {"WORLD_SIZE": "2", "MASTER_PORT": "29777", "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **variables}, capture_output=True, text=True
        )
        assert done.stdout.split() == ["True", "False", "False"], done.stderr


def test_a_process_that_lost_others_tells_only_where_they_are_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(uncaught_errors, "_PATIENCE_SEC", 0.1)
    monkeypatch.setattr(uncaught_errors.tempfile, "gettempdir", lambda: str(tmp_path))
    assert claim_terminal(is_first=False)
    for name, value in (("WORLD_SIZE", "2"), ("MASTER_PORT", "29778")):
        monkeypatch.setenv(name, value)
    assert claim_terminal(is_first=False) and not claim_terminal(is_first=False)
    assert issubclass(LostProcessError, RuntimeError)
