"""Records what a check found about each medium, in a journal that survives a kill, and sums it up."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from clipbert_mmf.json_text import parse_json


@dataclass(frozen=True)
class Finding:
    """Facts about one medium after reading it.

    Attributes:
        key: in the store.
        reason: why it cannot be read; empty if it can.
        kind: ``video`` or ``image``.
        num_bytes: size of the encoded file.
        duration_sec: end of the last frame, counted from the start of the file.
        fps: frames per second on average.
        num_frames: frames that are shown.
        width: pixels.
        height: pixels.
        codec: FFmpeg's name of the codec.
        container: FFmpeg's name of the container.
        start_sec: start of the first frame, counted from the start of the file.
        strip: JPEG of its thumbnails side by side, base64.
        store: absolute place of the store.
        stamp: state of the medium when it was read; see ``MediaStore.stamp``.
        settings: how it was read, and with which libraries.
    """

    key: str
    reason: str = ""
    kind: str = "video"
    num_bytes: int = 0
    duration_sec: float = 0.0
    fps: float = 0.0
    num_frames: int = 0
    width: int = 0
    height: int = 0
    codec: str = ""
    container: str = ""
    start_sec: float = 0.0
    strip: str = ""
    store: str = ""
    stamp: str = ""
    settings: str = ""

    def describe(self) -> dict[str, Any]:
        """Return everything but the thumbnails and what ties it to the journal, for a report."""
        left_out = ("strip", "store", "stamp", "settings")
        return {name: value for name, value in asdict(self).items() if name not in left_out}


#: Field of a finding -> what a journal may hold there.
_KINDS: dict[str, type | tuple[type, ...]] = {
    field.name: {"str": str, "int": int, "float": (int, float)}[str(field.type)] for field in fields(Finding)
}


@dataclass(frozen=True)
class StoreTotals:
    """Sums over all findings of a store.

    Attributes:
        store: location of the store.
        num_media: media that were checked.
        num_bad: media that cannot be read.
        reasons: name of an error -> media that failed with it.
        hours: length of all videos.
        num_bytes: size of all media.
    """

    store: str
    num_media: int
    num_bad: int
    reasons: dict[str, int]
    hours: float
    num_bytes: int


def sum_findings(findings: Sequence[Finding], store: str) -> StoreTotals:
    """Return the totals of the findings of the store at ``store``."""
    reasons = Counter(finding.reason.split(":")[0] for finding in findings if finding.reason)
    return StoreTotals(
        store=store,
        num_media=len(findings),
        num_bad=reasons.total(),
        reasons=dict(sorted(reasons.items())),
        hours=round(sum(finding.duration_sec for finding in findings) / 3600, 4),
        num_bytes=sum(finding.num_bytes for finding in findings),
    )


def read_journal(journal: Path) -> list[Finding]:
    """Return the findings of earlier checks; a last line cut by a kill is dropped from the file."""
    if not journal.is_file():
        return []
    findings: list[Finding] = []
    num_good_bytes = 0
    data = journal.read_bytes()
    for line in data.splitlines(keepends=True):
        try:
            finding = Finding(**parse_json(line.decode()))
        except (ValueError, TypeError):
            break
        if not all(isinstance(getattr(finding, name), kind) for name, kind in _KINDS.items()):
            break
        findings.append(finding)
        num_good_bytes += len(line)
    if num_good_bytes < len(data):
        os.truncate(journal, num_good_bytes)
    return findings
