"""A log that cannot be written is named once, in one line, and the run goes on."""

import logging
import sys

import pytest

pytest.importorskip("mmf")

from clipbert_mmf.plugin.log_files import name_log_failures


def test_a_log_on_a_full_disk_is_named_once(monkeypatch, capsys):
    logger = logging.getLogger("clipbert_test_of_logs")
    handler = logging.FileHandler("/dev/full")
    logger.addHandler(handler)
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    try:
        name_log_failures()
        for _ in range(3):
            logger.error("a line")
    finally:
        logger.removeHandler(handler)
        handler.stream = None
    error = capsys.readouterr().err
    assert error.count("/dev/full could not be written: No space left on device") == 1
    assert "the run goes on without it" in error and "Traceback" not in error
