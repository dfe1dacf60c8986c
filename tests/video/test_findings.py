"""Findings survive a kill and are summed up."""

import json

from clipbert_mmf.video.findings import Finding, read_journal, sum_findings


def test_a_line_cut_by_a_kill_is_dropped_from_the_journal(tmp_path):
    journal = tmp_path / "journal.jsonl"
    whole = json.dumps({"key": "a", "num_bytes": 3}) + "\n"
    journal.write_text(whole + '{"key": "b", "num')
    assert read_journal(journal) == [Finding("a", num_bytes=3)]
    assert journal.read_text() == whole and read_journal(tmp_path / "none") == []


def test_totals_count_media_hours_and_reasons():
    findings = [
        Finding("a", duration_sec=1800, num_bytes=5),
        Finding("b", reason="DecodeError: x", num_bytes=2),
        Finding("c", reason="DecodeError: y"),
        Finding("d", reason="EmptyMediaError: the file is empty"),
    ]
    totals = sum_findings(findings, "/data")
    assert (totals.num_media, totals.num_bad, totals.hours, totals.num_bytes) == (4, 3, 0.5, 7)
    assert totals.reasons == {"DecodeError": 2, "EmptyMediaError": 1} and totals.store == "/data"
    assert "strip" not in findings[0].describe() and findings[0].describe()["key"] == "a"


def test_a_line_of_other_types_ends_what_a_journal_says(tmp_path):
    journal = tmp_path / "journal.jsonl"
    for wrong in (
        '{"key": 3}',
        '{"key": "b", "num_bytes": "3"}',
        '{"key": "b", "fps": null}',
        '{"key": null}',
    ):
        journal.write_text('{"key": "a", "fps": 25}\n' + wrong + "\n")
        assert [finding.key for finding in read_journal(journal)] == ["a"]
        assert journal.read_text() == '{"key": "a", "fps": 25}\n'
