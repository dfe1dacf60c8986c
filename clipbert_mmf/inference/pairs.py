"""Scores pairs of a text and a video, in any order and number; each video is read and encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipbert_mmf.inference.asking import EncodedMedia, clean_texts, require_ability, score_matches
from clipbert_mmf.inference.media import Media
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.video.decoded import DecodedVideo
from clipbert_mmf.video.endings import ALL_ENDINGS, ending_of
from clipbert_mmf.video.frame_folders import is_frame_folder
from clipbert_mmf.video.stores.base import stamp_media

#: A text or a video; ``{"text": ...}`` and ``{"video": ...}`` where a name alone could be either.
Side = Media | Mapping[str, Any]
_MEDIA_KEYS = ("video", "image")


class PairScorer:
    """Scores pairs with a model whose head can score.

    Args:
        model: retrieval model.
        keep_videos: encodings of videos that are kept between calls, the last used ones; a full-size video
            takes 2.4 MB.

    Raises:
        WrongHeadError: if the head cannot score.
        ValueError: if ``keep_videos`` is below 0.
    """

    def __init__(self, model: ClipBert, keep_videos: int = 64):
        require_ability(model, "score")
        if keep_videos < 0:
            raise ValueError(f"keep_videos is {keep_videos}; expected at least 0")
        self.model = model
        self._keep_videos = keep_videos
        self._kept: OrderedDict[tuple[str, str], EncodedMedia] = OrderedDict()

    def score(
        self,
        pairs: Sequence[tuple[Side, Side]],
        progress: Callable[[Iterable[Any]], Iterable[Any]] = lambda videos: videos,
    ) -> Tensor:
        """Return the logit of a match minus the logit of no match for each pair.

        Args:
            pairs: a text and a video each, in either order.
            progress: wraps the videos while they are scored, such as ``tqdm``.

        Returns:
            ``(P,)`` float32 on the CPU.

        Raises:
            ValueError: if a pair is not a text and a video; names its number and what to write.
            MediaError: if a video cannot be read.
        """
        rows: dict[object, list[int]] = {}
        videos: dict[object, Media] = {}
        texts: list[str] = []
        for number, pair in enumerate(pairs):
            text, video = split_pair(pair, number)
            key = str(video) if isinstance(video, (str, Path)) else id(video)
            videos[key] = video
            rows.setdefault(key, []).append(number)
            texts.append(text)
        scores = torch.empty(len(texts))
        for key in progress(list(rows)):
            cleaned = clean_texts([texts[row] for row in rows[key]])
            scores[rows[key]] = score_matches(self.model, self._encode(videos[key]), cleaned)[0]
        return scores

    def _encode(self, video: Media) -> EncodedMedia:
        if not self._keep_videos or not isinstance(video, (str, Path)) or "://" in str(video):
            return self.model.encode(video)
        try:
            key = (str(video), stamp_media(Path(video)))
        except OSError:  # encoding says what is wrong
            return self.model.encode(video)
        encoded = self._kept.pop(key, None) or self.model.encode(video)
        self._kept[key] = encoded
        while len(self._kept) > self._keep_videos:
            self._kept.popitem(last=False)
        return encoded


def split_pair(pair: tuple[Side, Side], number: int) -> tuple[str, Media]:
    """Return text and video of a pair, in this order.

    A string is a video where it is a URL, has the ending of a medium, or is a file that exists.

    Args:
        pair: both, in either order.
        number: of the pair, from 0, for messages.

    Raises:
        ValueError: if it has not two sides, or not one text and one video.
    """
    if isinstance(pair, str) or len(pair) != 2:
        raise ValueError(f"pair {number} is {_show(pair)}; expected a text and a video")
    one, other = (_read_side(side, number) for side in pair)
    if one[1] == other[1]:
        kind = "videos" if one[1] else "texts (no URL, no file that exists, no ending of a medium)"
        raise ValueError(
            f"pair {number}: {_show(pair[0])} and {_show(pair[1])} are both {kind}; expected a text and a "
            f"video, which {{'text': ...}} and {{'video': ...}} tell apart"
        )
    return (other[0], one[0]) if one[1] else (one[0], other[0])


def _read_side(side: Side, number: int) -> tuple[Any, bool]:
    """Return a side's value, and whether it is a medium."""
    if isinstance(side, Mapping):
        given = {key: value for key, value in side.items() if value is not None}
        if len(given) != 1 or not set(given) <= {"text", *_MEDIA_KEYS}:
            raise ValueError(
                f"pair {number}: one side has {sorted(map(str, given)) or 'nothing'}; expected one of text, "
                f"{', '.join(_MEDIA_KEYS)}"
            )
        ((key, value),) = given.items()
        if key == "text" and not isinstance(value, str):
            raise ValueError(f"pair {number}: the text is {type(value).__name__}; expected a string")
        return value, key != "text"
    if isinstance(side, str):
        return side, _names_medium(side)
    if isinstance(side, (Path, bytes, bytearray, memoryview, np.ndarray, Tensor, DecodedVideo)):
        return side, True
    raise ValueError(
        f"pair {number}: {type(side).__name__} is neither a text nor a video; a video is a path, a URL, "
        f"bytes, or frames (frames, H, W, 3) uint8"
    )


def _names_medium(text: str) -> bool:
    if "://" in text or ending_of(text) in ALL_ENDINGS:
        return True
    try:
        path = Path(text).expanduser()
        return path.is_file() or (path.is_dir() and is_frame_folder(path))
    except (OSError, ValueError, RuntimeError):  # too long, or no name at all
        return False


def _show(side: object) -> str:
    text = repr(side)
    return text if len(text) <= 80 else f"{text[:77]}..."
