"""Parses DiDeMo and ActivityNet Captions.

All sentences of a video joined to one paragraph (paper section 4.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clipbert_mmf.annotations.records import Entries, Source, TextRecord, require, require_text, require_texts


def parse_didemo(source: Source, entries: Entries) -> Iterator[TextRecord]:
    """Yield a paragraph per video; its rows are not adjacent in the file, and keep their order.

    ``video`` has any extension, sometimes a bare final dot: the key is what stands before it.
    """
    sentences: dict[str, list[str]] = {}
    for place, entry in entries:
        name = require(entry, "video", str, source.path, place)
        key = name.rpartition(".")[0] or name
        sentences.setdefault(key, []).append(require_text(entry, "description", source.path, place))
        require(entry, "times", list, source.path, place)
    for key, parts in sentences.items():
        yield TextRecord(key, " ".join(filter(None, parts)), key)


def parse_activitynet(source: Source, document: Any) -> Iterator[TextRecord]:
    """Yield a paragraph per video of ``{"v_xxx": {"timestamps", "sentences"}}``, sentences as they stand."""
    for key, entry in document.items():
        sentences = require_texts(entry, "sentences", source.path, f"'{key}'")
        yield TextRecord(key, " ".join(filter(None, sentences)), key)
