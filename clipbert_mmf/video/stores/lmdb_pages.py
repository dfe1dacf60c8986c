"""Tells whether an LMDB file is whole before it is mapped.

LMDB trusts its pages: one that is not there, or that points to a place outside the file, would kill the process.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from clipbert_mmf.video.errors import StoreError
from clipbert_mmf.video.sources import open_source

_MAGIC = 0xBEEFC0DE
_HEADER_BYTES = 16
#: Magic; page size and root of the database of free pages; root of that of entries; last page; transaction.
_META = struct.Struct("<I20xI36xQ40xQQQ")
_BRANCH, _LEAF, _DIRTY = 0x01, 0x02, 0x10
#: The value of an entry lies in pages of its own.
_BIG = 0x01
_NO_PAGE = (1 << 64) - 1


#: Longest key, deepest tree, and flags of databases with several values for a key, which no store of media has.
_MAX_KEY_BYTES, _MAX_DEPTH, _UNUSUAL = 511, 30, 0x7C


def find_damage(path: str | os.PathLike[str]) -> str:
    """Return how an LMDB file contradicts itself, empty if it does not; values are not looked at.

    Args:
        path: the file, ``data.mdb``.

    Raises:
        StoreError: if it is no LMDB.
        MediaError: if it cannot be opened.
    """
    with open_source(path) as stream:
        number, size = stream.fileno(), os.fstat(stream.fileno()).st_size
        metas = [_read_meta(os.pread(number, 4096, 0))]
        if metas[0] is not None:
            metas.append(_read_meta(os.pread(number, 4096, metas[0][0])))
        found = [meta for meta in metas if meta is not None]
        if not found:
            raise StoreError("not a readable LMDB: it has no meta page", "", os.fspath(path))
        page_bytes, last, _, roots, flags = max(found, key=lambda meta: meta[2])
        if flags & _UNUSUAL:
            return "its meta page is damaged, or its keys have several values"
        num_pages = size // page_bytes
        try:
            # The last pages may be free and were never written: what counts is that those in use are there.
            is_whole = all(end <= num_pages for end in _list_ends(number, page_bytes, roots, num_pages))
        except _DamagedPageError as error:
            return f"its page {error} is damaged"
        if not is_whole:
            return f"it is cut: the file has {size} bytes, its meta page says {(last + 1) * page_bytes}"
    return ""


class _DamagedPageError(Exception):
    """A page whose entries lie outside of it, or that is in the tree twice."""


def _read_meta(data: bytes) -> tuple[int, int, int, tuple[int, int], int] | None:
    """Return page size, last page, transaction, the roots of both databases, and flags; None for no meta page."""
    if len(data) < _HEADER_BYTES + _META.size:
        return None
    magic, page_bytes, free, root, last, transaction = _META.unpack_from(data, _HEADER_BYTES)
    (flags,) = struct.unpack_from("<H", data, _HEADER_BYTES + 76)
    is_one = magic == _MAGIC and 256 <= page_bytes <= 1 << 16 and page_bytes & (page_bytes - 1) == 0
    return (page_bytes, last, transaction, (free, root), flags) if is_one else None


def _list_ends(number: int, page_bytes: int, roots: tuple[int, int], num_pages: int) -> Iterator[int]:
    """Yield the number of pages that the file needs for each page of the trees.

    Raises:
        _DamagedPageError: for a page whose entries lie outside of it.
    """
    waiting = [(root, 1) for root in roots if root != _NO_PAGE]
    seen: set[int] = set()
    while waiting:
        page, depth = waiting.pop()
        yield page + 1
        if page >= num_pages:
            continue
        data = os.pread(number, page_bytes, page * page_bytes)
        flags, lower, upper = struct.unpack_from("<HHH", data, 10)
        is_leaf = bool(flags & _LEAF)
        is_tree = flags & ~_DIRTY in (_BRANCH, _LEAF) and _HEADER_BYTES <= lower <= upper <= page_bytes
        if page in seen or depth > _MAX_DEPTH or not is_tree:
            raise _DamagedPageError(page)
        seen.add(page)
        for (node,) in struct.iter_unpack("<H", data[_HEADER_BYTES : lower & ~1]):
            if not upper <= node <= page_bytes - 8:
                raise _DamagedPageError(page)
            low, high, node_flags, key_bytes = struct.unpack_from("<HHHH", data, node)
            value = node + 8 + key_bytes
            if key_bytes > _MAX_KEY_BYTES or value > page_bytes:
                raise _DamagedPageError(page)
            if not is_leaf:
                waiting.append((low | high << 16 | node_flags << 32, depth + 1))
            elif node_flags & _BIG and value + 8 <= page_bytes:
                (first,) = struct.unpack_from("<Q", data, value)
                yield first - (-((low | high << 16) + _HEADER_BYTES) // page_bytes)
            elif node_flags & _BIG or value + (low | high << 16) > page_bytes:
                raise _DamagedPageError(page)
