"""Tables, lines and arrays are read record by record, with their places."""

import pytest

from clipbert_mmf.annotations import AnnotationError, read_annotations
from tests.annotations.owner_files import write

TGIF_HEADER = "gif_name\tquestion\ta1\ta2\ta3\ta4\ta5\tanswer\tvid_id\tkey\r\n"


TGIF_ROW = "g\tq ?\ta\tb\tc\td\te\t{}\tA{}\t1\r\n"


def test_clipbert_jsonl_without_a_final_newline(tmp_path):
    path = write(
        tmp_path / "r.jsonl",
        '{"caption": "x y", "clip_name": "video7", "sen_id": 3, "extra": 1}\n'
        '{"caption": ["one.", "two."], "clip_name": "v_8", "retrieval_key": "ret4"}',
    )
    assert [(r.media_key, r.text, r.text_id) for r in read_annotations(path, "msrvtt")] == [
        ("video7", "x y", "3"),
        ("v_8", "one. two.", "ret4"),
    ]


def test_tables_may_hold_newlines_tabs_blank_rows_and_a_byte_order_mark(tmp_path):
    quoted = '"one\r\ntwo\tthree ""four"""'
    rows = [
        TGIF_ROW.format(0, 1).replace("q ?", quoted),
        "\t" * 9 + "\r\n",
        "\r\n",
        TGIF_ROW.format(1, 2).rstrip(),
    ]
    path = write(tmp_path / "t.csv", b"\xef\xbb\xbf\r\n" + (TGIF_HEADER + "".join(rows)).encode())
    assert [(r.text, r.answer, r.text_id) for r in read_annotations(path, "tgif_choice")] == [
        ('one two three "four"', 0, "A1"),
        ("q ?", 1, "A2"),
    ]
    # Lines are those of the file, whatever a quoted field holds.
    path = write(tmp_path / "b.csv", TGIF_HEADER + rows[0] + "g\tq\r\n")
    with pytest.raises(AnnotationError, match="line 4: found .*10 columns"):
        list(read_annotations(path, "tgif_choice"))
