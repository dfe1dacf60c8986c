"""Opens annotation files: whole JSON documents, JSON arrays and JSON lines record by record, and tables.

Every reader yields the place of a record with it, so that errors can name it. Arrays and lines are streamed:
five million region captions do not fit in memory as Python objects.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from clipbert_mmf.annotations.records import AnnotationError
from clipbert_mmf.json_text import parse_json, parse_json_at

#: Characters read at once from a JSON array.
_CHUNK = 1 << 22
#: Larger than any single element; a file without an end of one is not an array of records.
_MAX_ELEMENT = 1 << 28


#: First bytes -> kind of archive, which must be unpacked before its text can be read.
_ARCHIVES = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@contextlib.contextmanager
def open_text(path: Path, newline: str = "") -> Iterator[TextIO]:
    """Open a file as UTF-8, with or without a byte-order mark, or as UTF-16 with one; newlines stay as they are.

    Raises:
        AnnotationError: in the ``with`` block too, where the file turns out not to be UTF-8.
    """
    try:
        with path.open("rb") as file:
            has_mark = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with path.open(encoding="utf-16" if has_mark else "utf-8-sig", newline=newline) as file:
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
        return parse_json(text)
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
    with open_text(path) as file:
        buffer, number, position = file.read(_CHUNK).lstrip(), 0, 1
        while True:
            position = _skip(buffer, position, " \t\r\n,")
            if position < len(buffer) and buffer[position] == "]":
                rest = buffer[position + 1 :].strip() or file.read(_CHUNK).strip()
                if rest:
                    raise AnnotationError(
                        path, f"behind record {number - 1}", rest[:40], "one array, and no more"
                    )
                return
            problem: json.JSONDecodeError | None = None
            try:
                element, end = parse_json_at(buffer, position)
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
                entry = parse_json(line)
            except json.JSONDecodeError as error:
                raise AnnotationError(
                    path, f"line {number}", line.strip(), f"a JSON object ({error.msg})"
                ) from error
            if not isinstance(entry, dict):
                raise AnnotationError(path, f"line {number}", entry, "a JSON object")
            yield f"line {number}", entry


@dataclass(frozen=True)
class Header:
    r"""The first lines of a table.

    Attributes:
        names: the columns.
        separator: comma, semicolon or tab.
        num_lines: lines before the first row.
        newline: end of a line, ``\n`` (with or without ``\r``) or ``\r``.
    """

    names: tuple[str, ...]
    separator: str
    num_lines: int
    newline: str


def read_header(path: Path) -> Header:
    """Read the columns of a table, behind blank lines and Excel's ``sep=;``.

    Raises:
        AnnotationError: if two columns have one name.
    """
    start = read_start(path)
    end = re.search(r"\r\n|\n|\r", start)
    newline = "\r" if end and end.group() == "\r" else "\n"
    with open_text(path, newline) as file:
        lines = (_strip_end(line) for line in file)
        header, num_lines, separator = "", 0, ""
        for header in lines:
            num_lines += 1
            told = re.fullmatch(r"sep=([\t,;])", header.strip())
            separator = told.group(1) if told else separator
            if header.strip() and not told:
                break
        separator = separator or _find_separator(header, next((line for line in lines if line.strip()), ""))
    names = tuple(name.strip() for name in _split_line(header, separator)[0])
    twice = sorted(name for name, count in Counter(names).items() if count > 1 and name)
    if twice:
        raise AnnotationError(
            path, f"line {num_lines}", list(names), f"each column once; {twice} occur twice"
        )
    return Header(names, separator, num_lines, newline)


def _strip_end(line: str) -> str:
    return line.rstrip("\n").removesuffix("\r")


def _find_separator(header: str, row: str) -> str:
    """Return the separator that occurs most; of several, one by which header and row are equally long."""
    found = [one for one in "\t,;" if one in header] or ["\t"]
    fitting = [one for one in found if len(_split_line(header, one)[0]) == len(_split_line(row, one)[0])]
    return max(fitting or found, key=header.count)


#: Lines that a field in quotes may span.
_MAX_LINES = 1000
_QUOTED = {
    (separator, escaped): re.compile(
        ' *"('
        + (r'[^"\\]*(?:(?:""|\\.)[^"\\]*)*' if escaped else '[^"]*(?:""[^"]*)*')
        + f')" *(?={separator}|\\Z)',
        re.DOTALL,
    )
    for separator in "\t,;"
    for escaped in (False, True)
}
_OPEN = re.compile(r' *"[^"]*(?:""[^"]*)*\Z')


def _split_line(text: str, separator: str, escaped: bool = False) -> tuple[list[str], bool, bool]:
    """Split a row into fields.

    A field in quotes that end where it ends loses them; any other quote is a letter.

    Args:
        text: one line, or several.
        separator: between fields.
        escaped: whether a backslash stands before a quote inside quotes.

    Returns:
        The fields; whether one has an opening quote that is not closed; whether a field without quotes has a newline.
    """
    if '"' not in text:
        return text.split(separator), False, "\n" in text
    fields: list[str] = []
    is_open = is_torn = False
    position = 0
    while True:
        match, has_escapes = _QUOTED[separator, escaped].match(text, position), escaped
        if match is None and '\\"' in text:
            match, has_escapes = _QUOTED[separator, True].match(text, position), True
        if match:
            value = match.group(1).replace('""', '"')
            fields.append(re.sub(r'\\(["\\])', r"\1", value) if has_escapes else value)
            position = match.end()
        else:
            is_open = is_open or _OPEN.match(text, position) is not None
            end = text.find(separator, position)
            end = len(text) if end < 0 else end
            fields.append(text[position:end])
            is_torn = is_torn or "\n" in fields[-1]
            position = end
        if position >= len(text):
            return fields, is_open, is_torn
        position += 1


class _Lines:
    """The lines of a table, some of which are looked at before they are taken."""

    def __init__(self, lines: Iterator[str], path: Path, number: int):
        self._lines, self._path, self.number = lines, path, number
        self._ahead: deque[str] = deque()

    def take(self) -> str | None:
        """Return the next line; None at the end."""
        self.number += 1
        if self._ahead:
            return self._ahead.popleft()
        return self._read(self.number)

    def peek(self, index: int) -> str | None:
        """Return a later line, 0 for the next one; None at the end."""
        while len(self._ahead) <= index:
            line = self._read(self.number + len(self._ahead) + 1)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[index]

    def _read(self, number: int) -> str | None:
        line = next(self._lines, None)
        if line is not None and "\0" in line:
            raise AnnotationError(self._path, f"line {number}", line, "text; this line has a NUL byte")
        return None if line is None else _strip_end(line)


def iterate_table(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield place and row of a table with a header, with any end of line and with Excel's quotes.

    A quote that nothing closes is a letter, so that it swallows no rows.

    Raises:
        AnnotationError: for a row of another length than the header, for a NUL byte, and where a quote may be a letter
            or open a field of several lines; it names the line where the row begins.
    """
    header = read_header(path)
    names, num_names = header.names, len(header.names)
    with open_text(path, header.newline) as file:
        for _ in range(header.num_lines):
            next(file)
        lines = _Lines(iter(file), path, header.num_lines)
        while (line := lines.take()) is not None:
            place = f"line {lines.number}"
            fields = line.split(header.separator)
            if '"' in line:
                fields = _read_quoted(line, lines, header, path, place)
            if not fields[0].strip() and not any(map(str.strip, fields)):
                continue
            if len(fields) != num_names:
                raise AnnotationError(path, place, fields, f"{num_names} columns as in the header")
            yield place, dict(zip(names, fields, strict=True))


def _read_quoted(line: str, lines: _Lines, header: Header, path: Path, place: str) -> list[str]:
    """Return the fields of a row with quotes, which may go on in the following lines."""
    num_names, separator = len(header.names), header.separator
    if line[0] == line[-1] == '"' and line.count('"') == 2 * num_names and "\\" not in line:
        fields = line[1:-1].split(f'"{separator}"')  # as most programs write them
        if len(fields) == num_names:
            return fields
    plain, is_open, _ = _split_line(line, separator)
    if is_open:
        whole, num_more = _join_lines(line, lines, separator, num_names)
        more = [lines.peek(n) or "" for n in range(num_more)]
        if whole:
            rows = [line, *more]
            if all(len(_split_line(row, separator)[0]) == num_names for row in rows):
                raise AnnotationError(
                    path,
                    place,
                    line,
                    f"a quote that is closed on its line: this one may be a letter, or open a field that ends "
                    f"{num_more} lines below; double it inside quotes, or take it out",
                )
            for _ in more:
                lines.take()
            return whole
    if len(plain) != num_names:
        other = _split_line(line, separator, escaped=True)[0]
        plain = other if len(other) == num_names else plain
    return plain


def _join_lines(line: str, lines: _Lines, separator: str, num_names: int) -> tuple[list[str], int]:
    """Return the fields of a row that spans lines and the number of further lines; no fields where it does not."""
    text = line
    for number in range(_MAX_LINES):
        more = lines.peek(number)
        if more is None:
            break
        text = f"{text}\n{more}"
        if '"' not in more:
            continue
        fields, is_open, is_torn = _split_line(text, separator)
        if not is_open:
            return (fields, number + 1) if len(fields) == num_names and not is_torn else ([], 0)
    return [], 0


def read_mapping(path: Path) -> dict[str, str]:
    """Return the names of MSVD's videos, ``vid1`` -> ``-4wsuPCjDBc_5_15``: a name and its ``vid`` number on each line.

    Raises:
        AnnotationError: for another line, or a name that occurs twice.
    """
    mapping: dict[str, str] = {}
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            words = line.split()
            if not words:
                continue
            name, key = words if len(words) == 2 else ("", "")
            if not re.fullmatch(r"vid\d+", key):
                raise AnnotationError(
                    path, f"line {number}", line.strip(), "a name and its number, such as 'x vid1'"
                )
            if key in mapping:
                raise AnnotationError(path, f"line {number}", key, "each number once")
            mapping[key] = name
    return mapping


_PARQUET = b"PAR1"


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet, by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET


def iterate_parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and row of a Parquet file.

    Raises:
        AnnotationError: without PyArrow, or if the file is damaged.
    """
    try:
        # Optional: few tables are Parquet.
        from pyarrow import ArrowException  # pyright: ignore[reportMissingImports]  # an extra
        from pyarrow.parquet import ParquetFile  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError as error:
        raise AnnotationError(
            path, "whole file", "Parquet", "PyArrow to read it with: pip install pyarrow"
        ) from error
    number = 0
    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield f"row {number}", row
                    number += 1
    except (ArrowException, OSError) as error:
        raise AnnotationError(path, f"row {number}", str(error), "Parquet") from error
