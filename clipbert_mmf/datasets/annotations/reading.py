"""Opens annotation files: UTF-8 text, JSON, JSON lines and tables, with errors that name the line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Iterator

from clipbert_mmf.datasets.annotations.records import AnnotationError


def read_text(path: Path) -> str:
    """Return the file's text without a byte-order mark.

    Raises:
        AnnotationError: if the file is empty or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(path, f"byte {error.start}", error.object[error.start : error.start + 4], "UTF-8 text") from error
    if not text.strip():
        raise AnnotationError(path, "line 1", "", "annotations; the file is empty")
    return text


def parse_json(path: Path, text: str) -> Any:
    """Return the parsed JSON document; ``AnnotationError`` names line and column of what is malformed."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise AnnotationError(
            path, f"line {error.lineno}, column {error.colno}", text[error.pos : error.pos + 40], f"JSON ({error.msg})"
        ) from error


def iterate_jsonl(path: Path, text: str) -> Iterator[tuple[str, dict]]:
    """Yield place and object of each line of JSON lines; blank lines pass, the last newline may be missing."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise AnnotationError(path, f"line {number}", line, f"a JSON object ({error.msg})") from error
        if not isinstance(entry, dict):
            raise AnnotationError(path, f"line {number}", entry, "a JSON object")
        yield f"line {number}", entry


def iterate_table(path: Path, text: str, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield place and row of a table with a header, whatever its separator (comma, semicolon or tab).

    Args:
        path: for messages.
        text: the file's text.
        columns: that must be there.
    Raises:
        AnnotationError: for a missing column or a row of another length.
    """
    header = text.splitlines()[0]
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names = [name.strip() for name in next(reader)]
    missing = [column for column in columns if column not in names]
    if missing:
        raise AnnotationError(path, "line 1", header, f"a header with {', '.join(columns)}; {missing} missing")
    for row in reader:
        if not row:
            continue
        if len(row) != len(names):
            raise AnnotationError(path, f"line {reader.line_num}", row, f"{len(names)} columns as in the header")
        yield f"line {reader.line_num}", dict(zip(names, row))
