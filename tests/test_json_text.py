"""JSON without end is an error of the file."""

import json

import pytest

from clipbert_mmf.annotations.reading import AnnotationError, iterate_array, iterate_lines, read_json
from clipbert_mmf.annotations.vocabulary import read_vocabulary
from clipbert_mmf.inference.settings import read_json_lines
from clipbert_mmf.json_text import parse_json, parse_json_at

DEEP = "[" * 100_000


def test_what_is_nested_without_end_is_malformed():
    assert parse_json('{"a": [1]}') == {"a": [1]} and parse_json_at("x [1]", 2) == ([1], 5)
    for parse in (parse_json, lambda text: parse_json_at(text, 0)):
        with pytest.raises(json.JSONDecodeError, match="nested too deep"):
            parse(DEEP)


@pytest.mark.parametrize("read", [read_json, iterate_array, iterate_lines, read_vocabulary])
def test_tables_name_their_file(tmp_path, read):
    path = tmp_path / "table.json"
    path.write_text(DEEP)
    with pytest.raises(AnnotationError, match=r"table\.json"):
        list(read(path))


def test_a_line_without_end_is_passed_over(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(f'{DEEP}\n{{"split": "val"}}\n')
    assert read_json_lines(tmp_path / "metrics.jsonl") == [{"split": "val"}]
