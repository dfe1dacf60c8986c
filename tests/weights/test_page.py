"""The weights page names what the code has."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")


def test_the_page_names_every_format_part_and_row():
    from clipbert_mmf.weights.report import LoadReport

    rows = [line[2:26].strip() for line in str(LoadReport("a")).splitlines()[1:]]
    assert all(f"| {row} |" in PAGE for row in rows)
    for place in re.findall(r"`(tests/[\w/.]+)`", PAGE):
        assert (ROOT / place).exists(), place


def test_the_vocabulary_rule_of_the_page_is_the_codes():
    from clipbert_mmf.weights.loading import _MAX_ADDED_SHARE, _MAX_ADDED_WORDS

    assert f"fewer than {_MAX_ADDED_WORDS} rows and at most {_MAX_ADDED_SHARE:.0%}".replace("%", " %") in PAGE
