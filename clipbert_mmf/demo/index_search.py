"""Search an index on the page: pages of hits, each with the frame of its moment, which is decoded when it is shown."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from clipbert_mmf.demo.jobs import Job, count_in
from clipbert_mmf.demo.video_library import UnknownVideoError, VideoLibrary
from clipbert_mmf.demo.views import AnswerView, Field, FoundVideo
from clipbert_mmf.inference.asking import Hit
from clipbert_mmf.library.rows import UNREADABLE, VIDEO, WINDOW
from clipbert_mmf.library.searching import RERANK_TOP_K, Library
from clipbert_mmf.library.store import FILTER_COLUMNS

HITS_PER_PAGE = 10
#: Searches whose hits are kept, so that the next page costs nothing.
_MAX_KEPT = 32

FIELDS = (
    Field("text", "Text to look for"),
    Field(
        "where",
        "Only those with",
        is_required=False,
        hint=f"SQL, such as duration_sec < 60 and path like 'news/%'; columns are {', '.join(FILTER_COLUMNS[:8])}.",
    ),
    Field(
        "page",
        "Page",
        is_required=False,
        hint=f"{HITS_PER_PAGE} videos on each, 1 to {RERANK_TOP_K // HITS_PER_PAGE}; left empty, 1.",
    ),
)


class IndexSearch:
    """Searches one index for the page.

    Args:
        index: the index.
        videos: knows what may be shown.
    """

    def __init__(self, index: Library, videos: VideoLibrary):
        self.index, self.videos = index, videos
        self.num_media = index.store.count(f"kind = '{VIDEO}'") or len(
            set(index.store.read_columns(("path",), f"kind = '{WINDOW}'")["path"].to_pylist())
        )
        self.num_unreadable = index.store.count(f"kind = '{UNREADABLE}'")
        self._kept: OrderedDict[tuple[str, str, int], list[Hit]] = OrderedDict()

    def search(self, lines: Mapping[str, list[str]], job: Job) -> AnswerView:
        """Return a page of hits."""
        text, where, written = ((lines[name] or [""])[0] for name in ("text", "where", "page"))
        page = _read_page(written)
        hits = self._find(text, where, job)
        shown = hits[(page - 1) * HITS_PER_PAGE : page * HITS_PER_PAGE]
        found: list[FoundVideo] = []
        num_gone = 0
        for hit in shown:
            try:
                video = self.videos.show(hit.video)
            except UnknownVideoError:
                num_gone += 1
                continue
            moment = hit.best_clip_sec
            query = "" if moment is None else "?" + urlencode({"from": moment[0], "to": moment[1]})
            url = f"/picture/{video.video_id}{query}"
            found.append(FoundVideo(video, hit.rank, hit.probability, moment, url))
        first = (page - 1) * HITS_PER_PAGE
        headline = (
            f"{first + 1} to {first + len(shown)} of the best {len(hits)}" if shown else "Nothing was found"
        )
        return AnswerView(
            headline,
            text,
            f"Chosen from {self.num_media:,} {self.index.store.settings.media}s, best first; the picture is of "
            f"the clip that fits best.",
            found=tuple(found),
            missing=f"{num_gone} are not there any more." if num_gone else "",
            next_page=page + 1 if page * HITS_PER_PAGE < len(hits) else 0,
        )

    def _find(self, text: str, where: str, job: Job) -> list[Hit]:
        key = (text, where, self.index.refresh())
        if key not in self._kept:
            job.say("reading the candidates")
            hits = self.index.search(
                [text],
                RERANK_TOP_K,
                RERANK_TOP_K,
                where or None,
                progress=lambda some: count_in(job)(list(some)),
            )
            self._kept[key] = hits[text]
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def require_folder_source(index: Library, location: str | Path) -> Path:
    """Return the folder whose media an index holds.

    Raises:
        ValueError: if it is another kind of source.
    """
    folder = Path(index.source.location)
    if not folder.is_dir():
        raise ValueError(
            f"the index {location} is of {folder}, and the page plays files of a folder; search it with clipbert search"
        )
    return folder


def _read_page(written: str) -> int:
    last = RERANK_TOP_K // HITS_PER_PAGE
    if written and not (written.isdecimal() and 1 <= int(written) <= last):
        raise ValueError(f"the page is '{written}'; expected 1 to {last}")
    return int(written or 1)
