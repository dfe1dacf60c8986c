"""Rows: what was written is read, and a change of any value is seen."""

from dataclasses import replace

import numpy as np
import pytest

from clipbert_mmf.library.rows import (
    CHECKSUM,
    EMBEDDING,
    TOKENS,
    Row,
    RowFacts,
    make_schema,
    make_table,
    read_rows,
)

pa = pytest.importorskip("pyarrow")

FACTS = RowFacts(
    path="news/a.mp4",
    kind="video",
    start_sec=0.0,
    end_sec=2.5,
    duration_sec=2.5,
    fps=25.0,
    width=320,
    height=240,
    num_bytes=1000,
    stamp="12 34",
    content=b"\x00\xff" * 8,
    model="abc",
    clips_sec=((0.0, 1.0), (1.5, 2.5)),
    tokens_shape=(2, 3, 4),
)
ROWS = [
    Row(FACTS, np.array([0.6, 0.8, 0, 0], np.float32), b"tokens"),
    Row(RowFacts("bad.mp4", "unreadable", reason='it\'s "bad"', model="abc")),
    Row(replace(FACTS, kind="clip", tokens_shape=(), clips_sec=()), np.array([1, 0, 0, 0], np.float32)),
]


def same(one: Row, other: Row) -> bool:
    first, second = one.embedding, other.embedding
    if first is None or second is None:
        return first is second and one.facts == other.facts and one.tokens == other.tokens
    return one.facts == other.facts and one.tokens == other.tokens and np.array_equal(first, second)


def test_rows_are_read_as_they_were_written():
    table = make_table(ROWS, make_schema(4, {}))
    for part in (table, pa.concat_tables([table.slice(0, 1), table.slice(1)]), table.slice(1)):
        rows, damaged = read_rows(part)
        assert all(map(same, rows, ROWS[-len(rows) :])) and damaged == []


def test_a_change_of_any_value_is_seen():
    schema = make_schema(4, {})
    table = make_table(ROWS[:1], schema)
    others = {
        "content": [b"\x01" * 16],
        "clips_sec": [[0.0, 1.0, 1.5, 2.6]],
        "tokens_shape": [[2, 4, 3]],
        "width": [None],
        EMBEDDING: [[0.6, 0.8, 0, 1e-30]],
        TOKENS: [b"tokenz"],
        CHECKSUM: [1],
    }
    for name in schema.names:
        kind = schema.field(name).type
        value = others.get(name) or (["other"] if kind == pa.string() else [7])
        changed = table.set_column(schema.get_field_index(name), schema.field(name), pa.array(value, kind))
        assert len(read_rows(changed)[1]) == 1, name
