"""The check finds what is broken, says why, goes on after a kill, and draws a page."""

import json
import shutil

import pytest

from clipbert_mmf.video.check import check_into_folder, check_store, write_report
from clipbert_mmf.video.findings import Finding, read_journal
from clipbert_mmf.video.stores.open import open_store
from tests.encoded_media import write_audio, write_image


@pytest.fixture(scope="module")
def mixed_folder(tmp_path_factory, video_file):
    folder = tmp_path_factory.mktemp("mixed")
    for name in ("plain.mp4", "turned_90.mp4", "animated.gif", "asp.avi"):
        shutil.copy(video_file(name), folder / name)
    write_image(folder / "still.jpg")
    write_audio(folder / "song.mp4")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut<b>.mp4").write_bytes(video_file("plain.mp4").read_bytes()[:-500])
    return folder


@pytest.fixture(scope="module")
def output(mixed_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("check")
    started, told = [], []
    totals = check_into_folder(
        str(mixed_folder),
        output,
        num_workers=2,
        on_start=lambda *counts: started.append(counts),
        on_finding=told.append,
    )
    assert started == [(8, 0)] and len(told) == totals.num_media == 8 and totals.num_bad == 3
    return output


def test_the_check_tells_good_from_bad_with_reasons(output):
    report = json.loads((output / "report.json").read_text())
    media = {row["key"]: row for row in report["media"]}
    assert {key for key, row in media.items() if row["reason"]} == {"song", "empty", "cut<b>"}
    assert media["song"]["reason"] == "NoVideoStreamError: no video stream (streams: audio)"
    assert report["num_bad"] == 3 and report["reasons"]["EmptyMediaError"] == 1
    assert media["asp"]["duration_sec"] == pytest.approx(2) and media["asp"]["codec"] == "mpeg4"
    assert media["still"]["kind"] == "image" and media["still"]["width"] == 64


def test_the_bad_list_is_one_that_a_dataset_reads(output):
    lines = [json.loads(line) for line in (output / "bad.jsonl").read_text().splitlines()]
    assert {line["key"] for line in lines} == {"song", "empty", "cut<b>"} and all(
        line["reason"] for line in lines
    )


def test_the_contact_sheet_shows_every_medium_and_escapes_names(output):
    page = (output / "contact_sheet.html").read_text()
    assert page.count("<img") == 5 and page.count("class=bad") == 3
    assert "cut&lt;b&gt;" in page and "http" not in page


def test_a_check_that_was_killed_goes_on(mixed_folder, output, tmp_path):
    journal = tmp_path / "journal.jsonl"
    lines = (output / "journal.jsonl").read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    new = list(check_store(open_store(mixed_folder), journal))
    assert len(new) == 3
    assert sorted(finding.key for finding in read_journal(journal)) == open_store(mixed_folder).keys()


def test_many_media_are_thinned_in_the_page(tmp_path):
    findings = [Finding(f"v{number}", strip="x") for number in range(100)]
    write_report(findings, tmp_path, "store", max_pictures=10)
    assert (tmp_path / "contact_sheet.html").read_text().count("<img") == 10
