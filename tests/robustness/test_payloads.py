"""Names and texts of strangers stay text on every page."""

import re

import pytest

from clipbert_mmf.demo.video_library import LibraryVideo
from clipbert_mmf.report import page as report_page
from clipbert_mmf.video.check import write_report
from clipbert_mmf.video.findings import Finding

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "{{7*7}}",
    "javascript:alert(1)",
)


def find_active(page: str) -> list[str]:
    """Return tags that a payload would add, and what a template would have computed."""
    return re.findall(r"<script>alert|<img src=x|<svg onload|>49<", page)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_contact_sheet_shows_names_and_reasons_as_text(tmp_path, payload):
    findings = [
        Finding(payload, reason=payload, store="s"),
        Finding(f"{payload}2", store="s", container=payload),
    ]
    write_report(findings, tmp_path, payload)
    page = (tmp_path / "contact_sheet.html").read_text(encoding="utf-8")
    assert find_active(page) == [] and "<img src=x" not in page


def test_every_template_escapes_what_it_shows():
    pytest.importorskip("flask", reason="flask is not installed: pip install 'clipbert_mmf[demo]'")
    from flask import Flask, render_template_string

    app = Flask("clipbert_mmf.demo.server", template_folder="templates")
    video = LibraryVideo("id", PAYLOADS[0], None)
    with app.app_context():
        assert find_active(render_template_string("{{ video.name }}", video=video)) == []
    assert find_unescaped(report_page) == []


def find_unescaped(module) -> list[str]:
    """Return the templates beside a module, and those of the page, that switch escaping off."""
    from pathlib import Path

    package = Path(module.__file__).resolve().parents[1]
    return [
        str(path)
        for path in package.rglob("*.html")
        if re.search(r"\|\s*safe\b|autoescape false", path.read_text(encoding="utf-8"))
    ]
