"""``clipbert report`` writes a page and prints its path."""

import json

import pytest

from clipbert_mmf.cli.main import main


def test_the_page_of_a_run_without_predictions_is_written(small_run, tmp_path, capsys):
    pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install 'clipbert_mmf[report]'")
    page = tmp_path / "r.html"
    assert main(["report", str(small_run), "--out", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(page)}
    assert "msrvtt_retrieval" in page.read_text(encoding="utf-8")
