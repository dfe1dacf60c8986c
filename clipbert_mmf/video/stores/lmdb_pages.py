"""Tells whether an LMDB file is whole before it is mapped: a page that is not there would kill the process."""

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
_BRANCH, _LEAF = 0x01, 0x02
#: The value of an entry lies in pages of its own.
_BIG = 0x01
_NO_PAGE = (1 << 64) - 1


def find_cut(path: str | os.PathLike[str]) -> str:
    """Return how an LMDB file contradicts its meta page, empty if it does not.

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
        page_bytes, last, _, roots = max(found, key=lambda meta: meta[2])
        if size >= (last + 1) * page_bytes:
            return ""
        # The last pages may be free and were never written: what counts is that those in use are there.
        num_pages = size // page_bytes
        if all(end <= num_pages for end in _list_ends(number, page_bytes, roots, num_pages)):
            return ""
        return f"it is cut: the file has {size} bytes, its meta page says {(last + 1) * page_bytes}"


def _read_meta(data: bytes) -> tuple[int, int, int, tuple[int, int]] | None:
    """Return page size, last page, transaction and the roots of both databases; None for no meta page."""
    if len(data) < _HEADER_BYTES + _META.size:
        return None
    magic, page_bytes, free, root, last, transaction = _META.unpack_from(data, _HEADER_BYTES)
    is_one = magic == _MAGIC and 256 <= page_bytes <= 1 << 16
    return (page_bytes, last, transaction, (free, root)) if is_one else None


def _list_ends(number: int, page_bytes: int, roots: tuple[int, int], num_pages: int) -> Iterator[int]:
    """Yield the number of pages that the file needs for each page of the trees."""
    waiting = [root for root in roots if root != _NO_PAGE]
    seen: set[int] = set()
    while waiting:
        page = waiting.pop()
        yield page + 1
        if page >= num_pages or page in seen:
            continue
        seen.add(page)
        data = os.pread(number, page_bytes, page * page_bytes)
        flags, lower = struct.unpack_from("<HH", data, 10)
        for place in range(_HEADER_BYTES, min(lower, page_bytes - 1), 2):
            (node,) = struct.unpack_from("<H", data, place)
            if node + 8 > page_bytes:
                continue
            low, high, node_flags, key_bytes = struct.unpack_from("<HHHH", data, node)
            if flags & _BRANCH:
                waiting.append(low | high << 16 | node_flags << 32)
            elif flags & _LEAF and node_flags & _BIG and node + 16 + key_bytes <= page_bytes:
                (first,) = struct.unpack_from("<Q", data, node + 8 + key_bytes)
                yield first - (-((low | high << 16) + _HEADER_BYTES) // page_bytes)
