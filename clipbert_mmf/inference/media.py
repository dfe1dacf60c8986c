"""Opens what a user calls a video: a path, bytes, an iopath URL or decoded frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from torch import Tensor

from clipbert_mmf.video.decoded import DecodedVideo
from clipbert_mmf.video.endings import MEDIA_ENDINGS
from clipbert_mmf.video.errors import MediaError, MissingMediaError, StoreError
from clipbert_mmf.video.frame_folders import FrameFolder, is_frame_folder
from clipbert_mmf.video.sources import read_stream
from clipbert_mmf.video.stores.folder import find_media_names
from clipbert_mmf.video.stores.names import split_readable

#: A video as a user gives it: a path or URL, an encoded file's bytes, or frames (a bare array has 30 fps).
Media = str | Path | bytes | np.ndarray | Tensor | DecodedVideo


def open_media(media: Media) -> tuple[bytes | Path | FrameFolder | DecodedVideo, str]:
    """Return what can be read, and a name for messages.

    Raises:
        MissingMediaError: if there is no such file.
        StoreError: if a URL cannot be read.
        ValueError: for an array that is no video.
        TypeError: for anything else.
    """
    if isinstance(media, (bytes, bytearray, memoryview)):
        return bytes(media), "the given bytes"
    if isinstance(media, DecodedVideo):
        return media, "the given frames"
    if isinstance(media, (np.ndarray, Tensor)):
        return DecodedVideo(np.asarray(media)), "the given frames"
    if not isinstance(media, (str, Path)):
        raise TypeError(f"found {type(media).__name__}; expected a path, a URL, bytes, or an array of frames")
    path = require_location(media)
    if path is None:
        return _download(str(media)), str(media)
    return (FrameFolder(path) if path.is_dir() else path), str(media)


def require_location(media: str | Path) -> Path | None:
    """Return the path of one video or image, a file or a folder of frames; None for a URL. Nothing is opened.

    Raises:
        MissingMediaError: if there is nothing, or a folder of several.
    """
    if str(media).startswith("file://"):
        media = url2pathname(urlsplit(str(media)).path)
    if "://" in str(media):
        return None
    path = Path(media).expanduser()
    if path.is_file() or (path.is_dir() and is_frame_folder(path)):
        return path
    if path.is_dir():
        raise MissingMediaError(
            "it is a folder; name one video in it, or look through all of them with clipbert search",
            str(media),
        )
    raise MissingMediaError(f"no file {path}", str(media))


def find_media(folder: str | Path, media: str) -> list[Path]:
    """Return the media below a folder, sorted, as a dataset and a check find them: files and folders of frames.

    Args:
        folder: searched at any depth.
        media: a key of ``MEDIA_ENDINGS``.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"'{folder}': no such folder")
    names = split_readable(find_media_names(str(folder), media), str(folder))
    return sorted(folder / name for name in names)


def require_media(folder: str | Path, media: str) -> list[Path]:
    """Return the media files below a folder, as ``find_media``, where there is at least one.

    Raises:
        FileNotFoundError: if there is no such folder, or it holds no medium of this kind.
    """
    files = find_media(folder, media)
    if not files:
        endings = ", ".join(sorted(MEDIA_ENDINGS[media]))
        others = [kind for kind in MEDIA_ENDINGS if kind != media and find_media(folder, kind)]
        instead = f"; it holds {others[0]}s, and this model reads {media}s" if others else ""
        raise FileNotFoundError(f"'{folder}' holds no {media}s; looked for {endings}{instead}")
    return files


def _download(url: str) -> bytes:
    from iopath.common.file_io import g_pathmgr

    # The path manager is typed for text as well; "rb" gives bytes.
    stream: Any
    try:
        with g_pathmgr.open(url, "rb") as stream:
            return read_stream(stream)
    except MediaError as error:
        raise type(error)(error.reason, url) from error
    except Exception as error:  # handlers raise whatever their client library raises
        scheme = url.partition("://")[0]
        raise StoreError(
            f"reading it failed: {error}; iopath must know the scheme '{scheme}' (a handler of g_pathmgr), or give "
            f"a file",
            url,
        ) from error
