"""DiDeMo and ActivityNet: sentences of a video become a paragraph."""

from clipbert_mmf.annotations import read_annotations
from tests.annotations.owner_files import write

DIDEMO = {"video": "a.mov", "description": "d", "times": [[0, 0]]}


def test_paragraphs_are_joined_in_file_order_from_rows_that_are_not_adjacent(tmp_path):
    rows = [
        {**DIDEMO, "description": "one"},
        {**DIDEMO, "video": "b.", "description": "x"},
        {**DIDEMO, "description": "two "},
    ]
    assert [(r.media_key, r.text) for r in read_annotations(write(tmp_path / "d.json", rows), "didemo")] == [
        ("a", "one two"),
        ("b", "x"),
    ]
    path = write(
        tmp_path / "a.json",
        {"v_x": {"duration": 9, "timestamps": [[3, 4], [0, 99]], "sentences": [" a\n b.", "c."]}},
    )
    assert [(r.media_key, r.text) for r in read_annotations(path, "activitynet")] == [("v_x", "a b. c.")]


def test_didemo_names_lose_one_ending_and_any_number_of_annotators_is_right(tmp_path):
    names = ["1@N00_1_a.mov", "1@N00_1_b.", "1@N00_1_c.3gp", "1@N00_1_d.MPG.mp4", "1@N00_1_e"]
    rows = [
        {**DIDEMO, "video": name, "times": [[0, 1]] * (4 + number % 4), "download_link": ""}
        for number, name in enumerate(names)
    ]
    assert [r.media_key for r in read_annotations(write(tmp_path / "d.json", rows), "didemo")] == [
        "1@N00_1_a",
        "1@N00_1_b",
        "1@N00_1_c",
        "1@N00_1_d.MPG",
        "1@N00_1_e",
    ]


def test_empty_sentences_leave_no_double_blanks(tmp_path):
    path = write(
        tmp_path / "a.json", {"v_x": {"sentences": ["", " a ", "\n", "b"]}, "v_y": {"sentences": []}}
    )
    assert [r.text for r in read_annotations(path, "activitynet")] == ["a b", ""]
    path = write(tmp_path / "d.json", [{**DIDEMO, "description": text} for text in ("a", " ", "b")])
    assert [r.text for r in read_annotations(path, "didemo")] == ["a b"]
