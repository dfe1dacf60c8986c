"""Writes one self-contained HTML page of thumbnails, so that a person can see what no check finds."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from clipbert_mmf.video.findings import Finding, StoreTotals
from clipbert_mmf.writing import write_text_atomically

_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff }
.media { display: flex; flex-wrap: wrap; gap: .6rem }
figure { margin: 0; padding: .3rem; border: 1px solid #ddd; border-radius: 4px; max-width: 100% }
figure.bad { border-color: #b00; background: #fee }
img { display: block; height: 72px; max-width: 100% }
figcaption { font-size: 12px; max-width: 24rem; overflow-wrap: anywhere }
table { border-collapse: collapse } td, th { padding: .1rem .6rem; text-align: left }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818 } figure { border-color: #444 } figure.bad { background: #411 } }
"""


def write_contact_sheet(
    path: Path, totals: StoreTotals, findings: Sequence[Finding], max_pictures: int
) -> None:
    """Write the page: bad media first, then thumbnails.

    Args:
        path: file to write.
        totals: sums over ``findings``.
        findings: results of ``check.check_store``.
        max_pictures: thumbnails in the page; of more media, evenly spread ones are shown.
    """
    bad = [finding for finding in findings if finding.reason]
    good = [finding for finding in findings if not finding.reason]
    step = max(1, -(-len(good) // max_pictures))
    shown = good[::step]
    reasons = "".join(
        f"<tr><td>{_text(name)}</td><td>{count}</td></tr>" for name, count in totals.reasons.items()
    )
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_text(totals.store)}</title>",
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
        f"<h1>{_text(totals.store)}</h1>",
        f"<p>{totals.num_media} media, {totals.num_bad} bad, {totals.hours:.2f} hours, ",
        f"{totals.num_bytes / 2**20:.1f} MiB. Shown: first, random, last frame; {len(shown)} of "
        f"{len(good)}.</p>",
        f"<table>{reasons}</table>" if reasons else "",
        "<h2>Bad</h2><div class=media>" if bad else "",
        *(_bad_figure(finding) for finding in bad),
        "</div>" if bad else "",
        "<h2>Good</h2><div class=media>",
        *(_good_figure(finding) for finding in shown),
        "</div></html>",
    ]
    write_text_atomically("\n".join(part for part in parts if part), path)


def _bad_figure(finding: Finding) -> str:
    return f"<figure class=bad><figcaption><b>{_text(finding.key)}</b><br>{_text(finding.reason)}</figcaption></figure>"


def _good_figure(finding: Finding) -> str:
    if finding.kind == "image":
        facts = f"{finding.width}x{finding.height}"
    else:
        size = f"{finding.width}x{finding.height}"
        facts = f"{finding.duration_sec:.1f} s, {size}, {finding.fps:.3g} fps, {finding.codec}"
    picture = f"<img loading=lazy alt='' src='data:image/jpeg;base64,{finding.strip}'>"
    return f"<figure>{picture}<figcaption><b>{_text(finding.key)}</b> {_text(facts)}</figcaption></figure>"


def _text(value: str) -> str:
    return html.escape(value, quote=True)
