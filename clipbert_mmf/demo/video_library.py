"""Keep the videos that the page may show: one folder and the uploads, known by id and never by path."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from clipbert_mmf.inference.media import find_media
from clipbert_mmf.inference.preprocessing import Preprocessing
from clipbert_mmf.video.clips import Clips
from clipbert_mmf.video.endings import MEDIA_ENDINGS
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.stores.base import stamp_file

logger = logging.getLogger(__name__)

#: Uploads that are kept at a time; the oldest is removed first.
MAX_UPLOADS = 16
#: An upload that takes longer to read is refused.
READ_TIMEOUT_SEC = 60.0
#: Pictures of videos that are kept.
MAX_PICTURES = 256
#: Videos of an index that were found and can be chosen.
MAX_SHOWN = 10_000
_BLOCK_BYTES = 1 << 20


class UploadError(ValueError):
    """Raised for an upload that is refused.

    Args:
        reason: reason, for the person who sent it.
        is_too_large: whether its size is the reason.
    """

    def __init__(self, reason: str, is_too_large: bool = False):
        super().__init__(reason)
        self.is_too_large = is_too_large


class UnknownVideoError(LookupError):
    """Raised for an id that no video has, or no longer."""


@dataclass(frozen=True)
class LibraryVideo:
    """A video that the page may show.

    Attributes:
        video_id: id by which the page asks for it.
        name: name on the page: its place inside the folder, or its name when it was uploaded.
        path: its file, never sent to the page.
        is_upload: whether it came from the page.
    """

    video_id: str
    name: str
    path: Path
    is_upload: bool = False


class VideoLibrary:
    """Finds videos by id; nothing outside the folder and its own uploads can be reached.

    Args:
        folder: searched at any depth; links that lead out of it are passed over.
        preprocessing: the model's; decides whether videos or images are listed, and reads an upload to try
            it.
        max_upload_bytes: size of the largest upload; 0 takes none.
        lists: whether the folder is listed; where an index knows what it holds, ``show`` adds what was found.

    Raises:
        FileNotFoundError: if there is no such folder.
    """

    def __init__(
        self, folder: str | Path, preprocessing: Preprocessing, max_upload_bytes: int, lists: bool = True
    ):
        self.lists = lists
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise FileNotFoundError(f"'{folder}': no such folder")
        self.preprocessing = preprocessing
        self.max_upload_bytes = max_upload_bytes
        self._temporary = tempfile.TemporaryDirectory(prefix="clipbert_demo_")
        self._listed: dict[str, LibraryVideo] = {}
        self._uploads: OrderedDict[str, LibraryVideo] = OrderedDict()
        self._reader = preprocessing.make_reader(READ_TIMEOUT_SEC)
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._drawing = threading.Lock()
        self._pictures: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self.list_folder()

    @property
    def endings(self) -> list[str]:
        """Endings that an upload may have, sorted."""
        return sorted(MEDIA_ENDINGS[self.preprocessing.media])

    def list_folder(self) -> list[LibraryVideo]:
        """Return the folder's videos by name, as it is now; ``clip2`` comes before ``clip10``."""
        if not self.lists:
            return []
        names = {
            path.relative_to(self.folder).as_posix(): path
            for path in find_media(self.folder, self.preprocessing.media)
            if path.is_file() and self._is_inside(path)
        }
        videos = [LibraryVideo(_name_id(name), name, path) for name, path in names.items()]
        videos.sort(key=lambda video: _split_numbers(video.name))
        self._listed = {video.video_id: video for video in videos}
        return videos

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.folder)

    def show(self, name: str) -> LibraryVideo:
        """Return a video of the folder by its path in it, which may be shown from now on.

        Raises:
            UnknownVideoError: if it is not there, or outside of the folder.
        """
        path = self.folder / name
        if not path.is_file() or not self._is_inside(path):
            raise UnknownVideoError(f"{name} is not there any more")
        video = LibraryVideo(_name_id(name), name, path)
        with self._lock:
            self._listed[video.video_id] = video
            while not self.lists and len(self._listed) > MAX_SHOWN:
                del self._listed[next(iter(self._listed))]
        return video

    def list_uploads(self) -> list[LibraryVideo]:
        """Return the uploads, latest first."""
        with self._lock:
            return list(reversed(self._uploads.values()))

    def find(self, video_id: str) -> LibraryVideo:
        """Return a video by its id.

        Raises:
            UnknownVideoError: if there is none; an id is compared with those of the list, never made into a
                path.
        """
        with self._lock:
            if video_id in self._uploads:
                return self._uploads[video_id]
        video = self._listed.get(video_id)
        # A name that was a video when it was listed may be a link to somewhere else by now.
        if video is not None and video.path.is_file() and self._is_inside(video.path):
            return video
        raise UnknownVideoError("this video is not there any more; choose another one")

    def add_upload(self, stream: IO[bytes], file_name: str) -> LibraryVideo:
        """Keep an upload that the model can read.

        Args:
            stream: bytes of the file.
            file_name: name that the browser sent; its ending decides the type, the rest is only shown.

        Raises:
            UploadError: for a wrong ending, too many bytes, or a file that cannot be read.
        """
        name = _clean_name(file_name)
        ending = Path(name).suffix.lower()
        if not self.max_upload_bytes:
            raise UploadError("this page takes no uploads")
        if ending not in self.endings:
            raise UploadError(f"'{name}' has the ending '{ending}'; allowed are {', '.join(self.endings)}")
        video_id = secrets.token_urlsafe(12)
        path = Path(self._temporary.name) / f"{video_id}{ending}"
        try:
            self._write(stream, path, name)
            self._try_reading(path, name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        video = LibraryVideo(video_id, name, path, is_upload=True)
        with self._lock:
            self._uploads[video_id] = video
            while len(self._uploads) > MAX_UPLOADS:
                self._uploads.popitem(last=False)[1].path.unlink(missing_ok=True)
        return video

    def _write(self, stream: IO[bytes], path: Path, name: str) -> None:
        size = 0
        with path.open("xb") as file:
            while block := stream.read(_BLOCK_BYTES):
                size += len(block)
                if size > self.max_upload_bytes:
                    raise UploadError(
                        f"'{name}' is larger than the {show_megabytes(self.max_upload_bytes)} that are "
                        f"allowed",
                        True,
                    )
                file.write(block)

    def _try_reading(self, path: Path, name: str) -> None:
        # In a process of its own: a file made to crash or to stop a decoder ends there, not here.
        try:
            with self._reading:
                self._reader.read_source(path, key=name)
        except MediaError as error:
            raise UploadError(f"'{name}' cannot be read: {_without(path, error.reason, name)}") from error

    def read_clips(self, video: LibraryVideo, window_sec: tuple[float, float] | None = None) -> Clips:
        """Return the clips that the model sees of a video, or of a part of it.

        Raises:
            MediaError: if it cannot be read; the message holds its name and no path.
        """
        # In the reader process too, and one at a time: each may take as much memory as it is allowed.
        try:
            with self._reading:
                return self._reader.read_source(video.path, None, window_sec, video.name)
        except MediaError as error:
            raise MediaError(_without(video.path, error.reason, video.name), video.name) from error

    def draw_picture(
        self,
        video: LibraryVideo,
        draw: Callable[[Clips], bytes],
        window_sec: tuple[float, float] | None = None,
    ) -> bytes:
        """Return the picture of a video, or of a part of it, that ``draw`` makes of its clips.

        It is kept until the file changes.

        Raises:
            MediaError: as ``read_clips``.
        """
        with self._drawing:
            try:
                key = (f"{video.video_id} {window_sec}", stamp_file(video.path))
            except OSError as error:
                raise MediaError("it is not there any more", video.name) from error
            if key not in self._pictures:
                self._pictures[key] = draw(self.read_clips(video, window_sec))
                while len(self._pictures) > MAX_PICTURES:
                    self._pictures.popitem(last=False)
            self._pictures.move_to_end(key)
            return self._pictures[key]

    def close(self) -> None:
        """Remove the uploads."""
        self._reader.close()
        self._temporary.cleanup()


def _name_id(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:20]


def _split_numbers(name: str) -> list[tuple[bool, int, str]]:
    """Return a name as parts that sort numbers by their size, before letters."""
    parts = filter(None, re.split(r"(\d+)", name))
    return [(False, int(part), "") if part.isdecimal() else (True, 0, part.casefold()) for part in parts]


def _clean_name(file_name: str) -> str:
    """Return the last part of a name, without what cannot be shown."""
    last = file_name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    return shown[-80:] or "unnamed"


def _without(path: Path, message: str, name: str) -> str:
    return message.replace(str(path), name).replace(str(path.parent), "the folder")


def show_megabytes(size: int) -> str:
    """Return a number of bytes in words."""
    return f"{size / 1e6:.3g} MB"
