"""Defines the rows of an index and their checksums: one row per medium, clip or window, one per unreadable medium.

Lance has no checksums of its own, so a changed byte would change a score without a word: every row has one over
all its values.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # an optional library
    import pyarrow as pa

#: What a row is about: the whole of a medium, one clip of it, a window of it, or one that cannot be read.
VIDEO, CLIP, WINDOW, UNREADABLE = "video", "clip", "window", "unreadable"
EMBEDDING, TOKENS, CHECKSUM = "embedding", "tokens", "checksum"


@dataclass(frozen=True)
class RowFacts:
    """The plain values of a row, in the order of its columns.

    Attributes:
        path: path of the medium in its source.
        kind: ``video``, ``clip``, ``window`` or ``unreadable``.
        start_sec: start of what the row is about; None for an image.
        end_sec: its end.
        duration_sec: length of the medium.
        fps: its frames per second.
        width: pixels of the stored picture, before any rotation.
        height: pixels of the stored picture.
        num_bytes: size of the encoded medium.
        stamp: state of the medium, see ``MediaStore.stamp``; empty where it cannot be trusted.
        content: SHA-256 of the bytes that were encoded, 16 bytes of it.
        model: hash of the model.
        reason: why the medium cannot be read; empty where it can.
        clips_sec: start and end of each clip of the medium or window; empty for an image and for a clip.
        tokens_shape: shape of the kept tokens ``(K, V, D)``; empty without.
    """

    path: str
    kind: str
    start_sec: float | None = None
    end_sec: float | None = None
    duration_sec: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    num_bytes: int | None = None
    stamp: str = ""
    content: bytes = b""
    model: str = ""
    reason: str = ""
    clips_sec: tuple[tuple[float, float], ...] = ()
    tokens_shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row of an index.

    Attributes:
        facts: its plain values.
        embedding: ``(E,)`` float32 unit vector; None for an unreadable medium and for a model without embeddings.
        tokens: the kept visual tokens, encoded; None without.
    """

    facts: RowFacts
    embedding: NDArray[np.float32] | None = None
    tokens: bytes | None = None


FACTS = tuple(field.name for field in fields(RowFacts))


def make_schema(embedding_size: int, metadata: dict[bytes, bytes]) -> pa.Schema:
    """Return the columns of an index; an embedding of no size leaves the column out."""
    import pyarrow as pa

    number, text = pa.float64(), pa.string()
    types = {
        **dict.fromkeys(("path", "kind", "stamp", "model", "reason"), text),
        **dict.fromkeys(("start_sec", "end_sec", "duration_sec", "fps"), number),
        **dict.fromkeys(("width", "height", "num_bytes"), pa.int64()),
        "content": pa.binary(),
        "clips_sec": pa.list_(number),
        "tokens_shape": pa.list_(pa.int32()),
    }
    columns = [pa.field(name, types[name]) for name in FACTS]
    if embedding_size:
        columns.append(pa.field(EMBEDDING, pa.list_(pa.float32(), embedding_size)))
    columns += [pa.field(TOKENS, pa.large_binary()), pa.field(CHECKSUM, pa.int64())]
    return pa.schema(columns, metadata=metadata)


def make_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Return rows as a table of Arrow, with their checksums."""
    import pyarrow as pa

    columns: dict[str, Any] = {name: [getattr(row.facts, name) for row in rows] for name in FACTS}
    columns["clips_sec"] = [[time for span in spans for time in span] for spans in columns["clips_sec"]]
    if EMBEDDING in schema.names:
        columns[EMBEDDING] = [row.embedding for row in rows]
    columns[TOKENS] = [row.tokens for row in rows]
    columns[CHECKSUM] = [hash_row(row) for row in rows]
    return pa.table(
        [pa.array(columns[name], schema.field(name).type) for name in schema.names], schema=schema
    )


def hash_row(row: Row) -> int:
    """Return the checksum of a row: 64 bits over all its values, signed."""
    digest = hashlib.blake2b(repr(astuple(row.facts)).encode("utf-8", "surrogateescape"), digest_size=8)
    digest.update(b"" if row.embedding is None else row.embedding.data)
    digest.update(b"|")
    digest.update(row.tokens or b"")
    return struct.unpack("<q", digest.digest())[0]


def read_rows(table: pa.Table) -> tuple[list[Row], list[str]]:
    """Return the rows of a table, and the paths of those whose checksum is another than their values'."""
    columns = {name: table[name].to_pylist() for name in (*FACTS, TOKENS, CHECKSUM)}
    embeddings = _read_embeddings(table) if EMBEDDING in table.column_names else [None] * table.num_rows
    rows: list[Row] = []
    damaged: list[str] = []
    for number in range(table.num_rows):
        values = {name: columns[name][number] for name in FACTS}
        times = iter(values["clips_sec"] or ())
        values["clips_sec"] = tuple(zip(times, times, strict=False))
        values["tokens_shape"] = tuple(values["tokens_shape"] or ())
        row = Row(RowFacts(**values), embeddings[number], columns[TOKENS][number])
        rows.append(row)
        if hash_row(row) != columns[CHECKSUM][number]:
            damaged.append(str(values["path"]))
    return rows, damaged


def _read_embeddings(table: pa.Table) -> list[NDArray[np.float32] | None]:
    found: list[NDArray[np.float32] | None] = []
    for chunk in table[EMBEDDING].chunks:
        size = chunk.type.list_size
        values = chunk.values.to_numpy(zero_copy_only=False)[chunk.offset * size :]
        matrix = np.ascontiguousarray(values[: len(chunk) * size].reshape(-1, size), dtype=np.float32)
        found += [
            vector if valid else None
            for vector, valid in zip(matrix, chunk.is_valid().to_pylist(), strict=True)
        ]
    return found
