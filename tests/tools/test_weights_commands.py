"""The weights page: its commands name tools, options and files that are there."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python (tools/\S+\.py)(.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("tool, arguments", COMMANDS)
def test_a_command_of_the_page(tool, arguments):
    source = (ROOT / tool).read_text(encoding="utf-8")
    words = shlex.split(arguments)
    for word in words:
        if word.startswith("--"):
            assert f'"{word}"' in source, word
        if word.startswith("configs/"):
            assert (ROOT / word).is_file(), word


def test_the_page_names_every_format_part_and_row():
    from clipbert_mmf.weights.report import LoadReport

    assert len(COMMANDS) >= 5
    rows = [line[2:26].strip() for line in str(LoadReport("a")).splitlines()[1:]]
    assert all(f"| {row} |" in PAGE for row in rows)
    for place in re.findall(r"`(tests/[\w/.]+)`", PAGE):
        assert (ROOT / place).exists(), place


def test_the_vocabulary_rule_of_the_page_is_the_codes():
    from clipbert_mmf.weights.loading import _MAX_ADDED_SHARE, _MAX_ADDED_WORDS

    assert f"fewer than {_MAX_ADDED_WORDS} rows and at most {_MAX_ADDED_SHARE:.0%}".replace("%", " %") in PAGE
