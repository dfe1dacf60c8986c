"""Reads media that are files below a folder, at any depth; also the walk that finds them."""

from __future__ import annotations

import logging
import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clipbert_mmf.video.endings import MEDIA_ENDINGS, choose_media, ending_of
from clipbert_mmf.video.errors import MediaError, StoreError
from clipbert_mmf.video.frame_folders import FrameFolder, choose_frame_folders
from clipbert_mmf.video.images import is_image, is_video
from clipbert_mmf.video.sources import read_head
from clipbert_mmf.video.stores.base import MediaStore
from clipbert_mmf.video.stores.names import NameIndex, split_readable

logger = logging.getLogger(__name__)


class FolderStore(MediaStore):
    """Media files below a folder. The listing is made once.

    It is kept when the store crosses a process boundary, so that workers do not walk the folder again.

    Args:
        location: the folder.
        media: ``video`` or ``image``; None takes videos where there are any, else images.
    """

    def __init__(self, location: str, media: str | None = None):
        super().__init__(location)
        self._media = media
        self._index: NameIndex | None = None
        self._listed: dict[str, str | None] = {}

    def _open(self) -> NameIndex:
        if self._index is None:
            names = split_readable(find_media_names(self.location, self._media), self.location)
            self._index = NameIndex(names, self.location, self._is_same)
        return self._index

    def _is_same(self, first: str, second: str) -> bool:
        try:
            return os.path.samefile(os.path.join(self.location, first), os.path.join(self.location, second))
        except OSError:
            return False

    def resolve(self, name: str) -> str | None:
        """Return the key of a name; see ``MediaStore.resolve``.

        A path on the disk is a name too, and so is one that leads through links.
        """
        index = self.handle
        if not os.path.isabs(name):
            return index.find(name) or self._find_through_link(name)
        root, name = os.path.join(os.path.abspath(self.location), ""), os.path.normpath(name)
        if name.startswith(root):
            written = name[len(root) :]
            return index.find(written) or self._find_through_link(written)
        # A file of this name that lies elsewhere is not the one that is meant, unless it went away.
        return self._find_through_link(name) or (None if os.path.isfile(name) else index.find(name))

    def _find_through_link(self, name: str) -> str | None:
        """Return the medium that a path with links in it leads to, or None."""
        folder, slash, last = name.replace("\\", "/").rpartition("/")
        if not slash:
            return None
        for written in self._list_forms(folder):
            listed = self._find_listed(written)
            if listed is not None:
                return self.handle.find(f"{listed}/{last}" if listed else last)
        return None

    def _list_forms(self, folder: str) -> Iterator[str]:
        """Yield the ways to read a folder's name: as it is, behind the store's own folder, in NFC and NFD."""
        parts, own = folder.split("/"), os.path.basename(os.path.abspath(self.location))
        for place in range(len(parts)):
            if not place or parts[place - 1] == own:
                rest = "/".join(parts[place:])
                yield from dict.fromkeys(
                    (rest, *(unicodedata.normalize(form, rest) for form in ("NFC", "NFD")))
                )

    def _find_listed(self, folder: str) -> str | None:
        """Return the name under which a folder is listed that a link leads to, or None."""
        if folder not in self._listed:
            self._listed[folder] = None
            place = os.path.normpath(os.path.join(self.location, folder))
            root = os.path.normpath(self.location)
            # Without a link in it, the folder is listed under this name already.
            if os.path.isdir(place) and os.path.realpath(place) != os.path.join(
                os.path.realpath(root), os.path.relpath(place, root)
            ):
                names = {name.rstrip("/").rpartition("/")[0] for name in self.handle.names.values()}
                self._listed[folder] = next(
                    (name for name in sorted(names) if self._is_same(name, folder)), None
                )
        return self._listed[folder]

    def _find(self, handle: NameIndex, key: str) -> Path | FrameFolder | None:
        name = handle.names.get(key)
        if name is None:
            found = self.resolve(key)
            if found is None:
                return None
            name = handle.names[found]
        path = Path(self.location, name)
        return FrameFolder(path) if name.endswith("/") else path

    def path_of(self, key: str) -> str:
        """Return the path below the folder; see ``MediaStore.path_of``."""
        return self.handle.names.get(key, key).rstrip("/")

    def _list(self, handle: NameIndex) -> Iterator[str]:
        return iter(sorted(handle.names))

    def __len__(self) -> int:
        return len(self.handle.names)


@dataclass
class FolderNames:
    """Files of one folder, by kind; names are relative to the root of the walk, with slashes."""

    folder: str
    videos: list[str]
    images: list[str]
    others: list[str]


def find_media_names(location: str, media: str | None) -> list[str]:
    """Return the media below a folder, in order: paths with slashes; a folder of frames ends in a slash.

    Args:
        location: the folder, searched at any depth; hidden names are passed over, links to folders are followed once.
        media: ``video`` or ``image``; None takes videos where there are any, else images.

    Raises:
        StoreError: if there is no such folder.
    """
    videos: list[str] = []
    images: list[str] = []
    folders: list[FolderNames] = []
    gifs: list[str] = []
    for found in walk_folder(location):
        videos += found.videos
        images += found.images
        gifs += [name for name in found.videos if ending_of(name) == ".gif"]
        videos += [name for name in found.others if _sniff_media(location, name, "video")]
        if media != "video":
            images += [name for name in found.others if _sniff_media(location, name, "image")]
        if found.folder and not found.videos and len(found.images) > 1:
            folders.append(found)
    if media != "image":
        frames = choose_frame_folders({one.folder: one.images for one in folders}, videos)
        if media is None and choose_media((*videos, *images)) == "image" and not frames:
            media = "image"
        elif media is None and frames and not videos:
            logger.info(
                "%s: %d folders of numbered images are taken for videos; if they are none, say --media image",
                location,
                len(frames),
            )
    else:
        frames = []
    if media == "image":
        return sorted({*images, *gifs})
    return sorted([*videos, *(f"{folder}/" for folder in frames)])


def walk_folder(location: str) -> Iterator[FolderNames]:
    """Yield the folders below a folder with their files, links to folders last; no folder is entered twice.

    Raises:
        StoreError: if there is no such folder.
    """
    if not os.path.isdir(location):
        raise StoreError("no such folder", "", location)
    waiting, links = [""], list[str]()
    # A link to a folder that holds this one would lead back here, and to all that lies beside it.
    seen = {_identify(parent) for parent in Path(os.path.realpath(location)).parents}
    while waiting or links:
        # A folder is known by the path that leads to it without a link, where there is one.
        relative = waiting.pop() if waiting else links.pop(0)
        place = os.path.join(location, relative) if relative else location
        try:
            identity = _identify(place)
            if identity in seen:
                continue
            seen.add(identity)
            with os.scandir(place) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            logger.warning("%s: the folder cannot be read and is left out: %s", place, error)
            continue
        names = FolderNames(relative, [], [], [])
        prefix = f"{relative}/" if relative else ""
        folders: list[str] = []
        for entry in found:
            name = entry.name
            if name.startswith("."):
                continue
            is_link = entry.is_symlink()
            if _is_folder(entry):
                (links if is_link else folders).append(prefix + name)
                continue
            ending = ending_of(name)
            kind = (
                names.videos
                if ending in MEDIA_ENDINGS["video"]
                else names.images
                if ending in MEDIA_ENDINGS["image"]
                else names.others
                if "." not in name or name.endswith(".")
                else None
            )
            if kind is not None and (
                entry.is_file(follow_symlinks=False) or (is_link and _may_be_read(entry))
            ):
                kind.append(prefix + name)
        waiting += reversed(folders)
        yield names


def _identify(folder: str | Path) -> tuple[int, int]:
    state = os.stat(folder)
    return state.st_dev, state.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    """Return whether a link leads to a file, or nowhere: then reading it says so."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True


def _sniff_media(location: str, name: str, media: str) -> bool:
    """Return whether a file without an ending is a medium, by its first bytes."""
    try:
        head = read_head(os.path.join(location, name))
    except MediaError:
        return False
    return is_image(head) if media == "image" else is_video(head)
