"""The table of a load: counts, names in short, and whether all fitted."""

import json

from clipbert_mmf.weights.report import LoadReport, write_reports


def make_report():
    return LoadReport(
        "/x/y.pth",
        "backbone",
        "a format",
        used=["a", "b"],
        missing=[f"m{number}" for number in range(8)],
        wrong_shape={"w": ((2, 3), (4, 3))},
        unused={"fc.weight": "a classifier", "fc.bias": "a classifier"},
    )


def test_the_table_counts_and_names_what_did_not_fit():
    lines = str(make_report()).splitlines()
    assert lines[0] == "weights.backbone from /x/y.pth (a format)"
    rows = {line[2:26].strip(): line[26:].split(maxsplit=1) for line in lines[1:]}
    assert rows["used"] == ["2"]
    assert rows["missing, now random"] == ["8", "m0, m1, m2, m3, m4, m5 and 2 more"]
    assert rows["wrong shape, now random"] == ["1", "w 2x3, here 4x3"]
    assert rows["not needed"] == ["2", "2 a classifier"]


def test_only_a_load_in_which_all_fitted_is_complete():
    assert LoadReport("x", used=["a"], unused={"b": "why"}).is_complete
    assert not make_report().is_complete
    assert not LoadReport("x", resized={"a": ((2,), (1,))}).is_complete


def test_reports_are_saved_as_json(tmp_path):
    write_reports([make_report()], tmp_path / "deep" / "report.json")
    (found,) = json.loads((tmp_path / "deep" / "report.json").read_text())
    assert found["part"] == "backbone" and found["wrong_shape"] == {"w": [[2, 3], [4, 3]]}
