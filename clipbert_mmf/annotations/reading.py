"""Opens annotation files: whole JSON documents, JSON arrays and JSON lines record by record, and tables.

Every reader yields the place of a record with it, so that errors can name it. Arrays and lines are streamed:
five million region captions do not fit in memory as Python objects.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from clipbert_mmf.annotations.records import AnnotationError

#: Characters read at once from a JSON array.
_CHUNK = 1 << 22
#: Larger than any single element; a file without an end of one is not an array of records.
_MAX_ELEMENT = 1 << 28


#: First bytes -> kind of archive, which must be unpacked before its text can be read.
_ARCHIVES = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a file as UTF-8, with or without a byte-order mark; newlines stay for ``csv``.

    Raises:
        AnnotationError: in the ``with`` block too, where the file turns out not to be UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise _describe_bytes(path) from error


def _describe_bytes(path: Path) -> AnnotationError:
    """Return the error that names the first bytes of a file which are no UTF-8."""
    place, found, expected = "whole file", b"", "UTF-8 text"
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            archive = next(
                (name for start, name in _ARCHIVES.items() if number == 1 and line.startswith(start)), None
            )
            if archive:
                expected += f"; unpack the {archive} archive first"
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                place, found = f"line {number}, byte {error.start}", line[error.start : error.start + 8]
                break
    return AnnotationError(path, place, found, expected)


def read_start(path: Path, num_chars: int = 1 << 16) -> str:
    """Return the first characters of a file.

    Raises:
        AnnotationError: if the file holds nothing, or no UTF-8 text.
    """
    with open_text(path) as file:
        start = file.read(num_chars)
    if not start.strip():
        raise AnnotationError(path, "line 1", "", "annotations; the file is empty")
    return start


def read_json(path: Path) -> Any:
    """Return the parsed document; ``AnnotationError`` names line and column of what is malformed."""
    with open_text(path) as file:
        text = file.read()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise AnnotationError(
            path,
            f"line {error.lineno}, column {error.colno}",
            text[error.pos : error.pos + 40],
            f"JSON ({error.msg})",
        ) from error


def iterate_array(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield place and element of a JSON array, a few megabytes of text at a time.

    Raises:
        AnnotationError: where an element is malformed, or the file ends within the array.
    """
    decoder = json.JSONDecoder()
    with open_text(path) as file:
        buffer, number, position = file.read(_CHUNK).lstrip(), 0, 1
        while True:
            position = _skip(buffer, position, " \t\r\n,")
            if position < len(buffer) and buffer[position] == "]":
                return
            problem: json.JSONDecodeError | None = None
            try:
                element, end = decoder.raw_decode(buffer, position)
            except json.JSONDecodeError as error:
                element, end, problem = None, len(buffer), error
            # A number or word at the very end of the buffer may go on in the next chunk.
            if end < len(buffer):
                yield f"record {number}", element
                number, position = number + 1, end
                continue
            more = file.read(_CHUNK)
            if not more or len(buffer) - position > _MAX_ELEMENT:
                found = buffer[problem.pos : problem.pos + 40] if problem else buffer[-40:]
                reason = problem.msg if problem else "the array does not end"
                raise AnnotationError(path, f"record {number}", found, f"a JSON record ({reason})")
            buffer, position = buffer[position:] + more, 0


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def iterate_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and object of each line of JSON lines.

    Blank lines pass, the last newline may be missing.
    """
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise AnnotationError(
                    path, f"line {number}", line.strip(), f"a JSON object ({error.msg})"
                ) from error
            if not isinstance(entry, dict):
                raise AnnotationError(path, f"line {number}", entry, "a JSON object")
            yield f"line {number}", entry


def split_header(header: str) -> tuple[list[str], str]:
    """Return the column names of a table's first line and its separator: comma, semicolon or tab."""
    header = header.rstrip("\r\n")
    separator = max("\t,;", key=header.count)
    return [name.strip() for name in next(csv.reader([header], delimiter=separator))], separator


def iterate_table(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield place and row of a table with a header, with CRLF or LF and with Excel's quotes.

    Raises:
        AnnotationError: for a row of another length than the header, or one that ``csv`` cannot read; it
            names the line where the row begins.
    """
    with open_text(path) as file:
        header, skipped = file.readline(), 1
        while header and not header.strip():
            header, skipped = file.readline(), skipped + 1
        names, separator = split_header(header)
        reader = csv.reader(file, delimiter=separator)
        while True:
            place = f"line {reader.line_num + skipped + 1}"
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise AnnotationError(
                    path, place, str(error), f"{len(names)} columns as in the header"
                ) from error
            if row is None:
                return
            if not any(map(str.strip, row)):
                continue
            if len(row) != len(names):
                raise AnnotationError(path, place, row, f"{len(names)} columns as in the header")
            yield place, dict(zip(names, row, strict=True))
