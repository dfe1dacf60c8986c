"""Tables, lines and arrays are read record by record, with their places."""

import csv
import random
import sys

import pyarrow
import pytest
from pyarrow import parquet

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


TABLES = {
    "quotes that nothing closes": (
        'video\ttext\nv0\ta dog\nv1\t"Oh no\nv2\ta cat\nv3\the says "hi"\nv4\t"Stop" she says\n',
        [
            ("v0", "a dog"),
            ("v1", '"Oh no'),
            ("v2", "a cat"),
            ("v3", 'he says "hi"'),
            ("v4", '"Stop" she says'),
        ],
    ),
    "inches": (
        'video,text\nv0,a 5" screen\nv1,a 7" and 8" one\n',
        [("v0", 'a 5" screen'), ("v1", 'a 7" and 8" one')],
    ),
    "backslashes": (
        'video,text\nv0,"he says \\"hi\\", and"\nv1,"a \\"b\\" c"\n',
        [("v0", 'he says "hi", and'), ("v1", 'a "b" c')],
    ),
    "blank after the comma": ('video, text\nv0, "one, two"\n', [("v0", "one, two")]),
    "carriage returns alone": ("video,text\rv0,a dog\rv1,a cat\r", [("v0", "a dog"), ("v1", "a cat")]),
    "several lines in quotes": (
        'video,text\nv0,"a dog,\nruns\n\nand ""barks"""\nv1,x\n',
        [("v0", 'a dog, runs and "barks"'), ("v1", "x")],
    ),
    "Excel's separator": ("sep=;\r\nvideo;text\r\nv0;a dog\r\n", [("v0", "a dog")]),
    "commas in the header": ("video;text;notes, if any, of us\nv0;a dog;\n", [("v0", "a dog")]),
    "long cell": ("video,text\nv0," + "word " * 30000 + "\n", [("v0", ("word " * 30000).strip())]),
    "long line": (
        '{"video": "v0", "text": "' + "word " * 20000 + '"}\n{"video": "v1", "text": "x"}',
        [("v0", ("word " * 20000).strip()), ("v1", "x")],
    ),
    "UTF-16": ("video,text\nv0,ein Hünd\n".encode("utf-16"), [("v0", "ein Hünd")]),
    "list of captions": (
        '[{"video": "v0", "caption": ["a", "b"]}, {"video": "v1", "caption": ["c"]}]',
        [("v0", "a"), ("v0", "b"), ("v1", "c")],
    ),
}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_row_is_read_as_written(tmp_path, name):
    content, expected = TABLES[name]
    path = write(tmp_path / "table", content)
    assert [(r.media_key, r.text) for r in read_annotations(path, "video_text")] == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("video,text\nv0,a\nv1,b\0\n", "line 3: .*NUL byte"),
        ("video,text,text\nv0,a,b\n", "line 1: .*'text'.* occur twice"),
        ('video,text\nv0,"a dog\nv1,a "\nv2,b\n', "line 2: .*closed on its line"),
        ("video,text\nv0,a,b\n", "line 2: .*2 columns"),
    ],
)
def test_a_row_that_may_be_read_in_two_ways_is_an_error_with_the_line(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message):
        list(read_annotations(write(tmp_path / "t.csv", content), "video_text"))


def test_random_tables_come_back_as_they_were_written_or_are_refused(tmp_path):
    rng = random.Random(0)
    num_refused = 0
    for number in range(200):
        separator = rng.choice(",;\t")
        texts = ["".join(rng.choice('ab ",;\t\n') for _ in range(9)) + "." for _ in range(4)]
        rows = [[f"v{n}", text, "note"] for n, text in enumerate(texts)]
        path = tmp_path / f"{number}.csv"
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter=separator).writerows([["video", "text", "notes"], *rows])
        try:
            found = [record.text for record in read_annotations(path, "video_text")]
        except AnnotationError as error:
            num_refused += 1
            assert "closed on its line" in str(error)
        else:
            assert found == [" ".join(text.split()) for text in texts]
    assert num_refused < 40


@pytest.mark.parametrize("more", ['[{"video": "b", "text": "y"}]', "{}", "]", " x"])
def test_what_follows_an_array_is_never_lost(tmp_path, more):
    path = write(tmp_path / "t.json", '[{"video": "a", "text": "x"}]\n\n')
    assert len(list(read_annotations(path, "video_text"))) == 1
    write(path, path.read_text() + more)
    with pytest.raises(AnnotationError, match="behind record 0: found .*one array, and no more"):
        list(read_annotations(path, "video_text"))


def test_parquet_is_read_row_by_row(tmp_path):
    path = tmp_path / "t.parquet"
    table = pyarrow.table({"video_id": ["v0", "v1"], "caption": [["a", "b"], ["c"]]})
    parquet.write_table(table, path)
    assert [r.text for r in read_annotations(path, "video_text")] == ["a", "b", "c"]


def test_parquet_without_pyarrow_names_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(AnnotationError, match="pip install pyarrow"):
        list(read_annotations(tmp_path / "t.parquet", "video_text"))
