"""TGIF-QA's tables."""

from clipbert_mmf.annotations import read_annotations
from tests.annotations.owner_files import write

TGIF_HEADER = "gif_name\tquestion\ta1\ta2\ta3\ta4\ta5\tanswer\tvid_id\tkey\r\n"


TGIF_ROW = "g\tq ?\ta\tb\tc\td\te\t{}\tA{}\t1\r\n"


def test_tgif_tables_are_tab_separated_whatever_their_name_and_may_quote(tmp_path):
    path = write(tmp_path / "t.csv", TGIF_HEADER + TGIF_ROW.format(3, 1).replace("q ?", '"he says ""hi"" "'))
    (record,) = read_annotations(path, "tgif_choice")
    assert (record.media_key, record.text, record.answer, record.text_id) == ("g", 'he says "hi"', 3, "A1")
    path = write(
        tmp_path / "f.csv",
        "gif_name\tquestion\tanswer\ttype\tvid_id\tkey\tdescription\r\ng\tq\tred\t2\tF1\t1\td\r\n",
    )
    (record,) = read_annotations(path, "tgif_frameqa")
    assert (record.answer, record.answer_type) == ("red", "color")
