"""The contact sheet shows bad media with reasons, good ones with pictures, and escapes every name."""

from clipbert_mmf.video.contact_sheet import write_contact_sheet
from clipbert_mmf.video.findings import Finding, sum_findings


def write(tmp_path, findings, max_pictures=10):
    path = tmp_path / "sheet.html"
    write_contact_sheet(path, sum_findings(findings, "<store>"), findings, max_pictures)
    return path.read_text(encoding="utf-8")


def test_bad_media_come_first_with_their_reason(tmp_path):
    page = write(tmp_path, [Finding("good", strip="x"), Finding("b&d", reason="DecodeError: <no>")])
    assert page.index("b&amp;d") < page.index("good")
    assert "DecodeError: &lt;no&gt;" in page and "&lt;store&gt;" in page and "<store>" not in page
    assert "<td>DecodeError</td><td>1</td>" in page


def test_facts_of_videos_and_images_stand_under_their_pictures(tmp_path):
    page = write(
        tmp_path,
        [
            Finding("v", duration_sec=2.5, fps=25, width=64, height=48, codec="h264", strip="x"),
            Finding("i", kind="image", width=32, height=16, strip="x"),
        ],
    )
    assert "2.5 s, 64x48, 25 fps, h264" in page and "32x16</figcaption>" in page


def test_of_many_media_evenly_spread_ones_are_shown(tmp_path):
    page = write(tmp_path, [Finding(f"v{number:02d}", strip="x") for number in range(40)])
    assert page.count("<img") == 10 and "v00" in page and "v36" in page and "v01<" not in page
