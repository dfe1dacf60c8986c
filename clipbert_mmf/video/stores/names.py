"""Says which medium of a store a name stands for, by one rule for every kind of store.

A medium is its path in the store without its ending: its key. Where two files differ only in their ending, their keys
keep it.
"""

from __future__ import annotations

import logging
import posixpath
import unicodedata
from collections.abc import Callable, Iterable

from clipbert_mmf.video.endings import ALL_ENDINGS, ending_of, strip_ending
from clipbert_mmf.video.errors import AmbiguousNameError

logger = logging.getLogger(__name__)

#: Candidates that an error lists.
_NUM_SHOWN = 10


def clean_name(name: str) -> str:
    """Return a written name as a path with slashes, without ``.`` and ``..``, its letters composed (NFC)."""
    name = compose(name.strip()).replace("\\", "/")
    if "/" not in name:
        return name
    is_absolute = name.startswith("/")
    name = posixpath.normpath(name).lstrip("/")
    while name.startswith("../"):
        name = name[3:]
    return f"/{name}" if is_absolute else name


def compose(name: str) -> str:
    """Return a name in NFC: some systems write an accent as a letter of its own."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def make_key(name: str) -> str:
    """Return the key that a written name would have in a store of its own: its path without a media ending."""
    return strip_ending(clean_name(name))


def is_unicode(name: str) -> bool:
    """Return whether a name was UTF-8 where it was read from."""
    if name.isascii():
        return True
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_safe_name(name: str) -> bool:
    """Return whether a name of a medium stays in its store: no absolute path, no ``..``, no NUL."""
    parts = name.replace("\\", "/").split("/")
    return bool(name) and bool(parts[0]) and ".." not in parts and "\0" not in name


def split_readable(names: Iterable[str], location: str) -> list[str]:
    """Return the names that can be keys; the others are told once and left out.

    A key is UTF-8, and leads to no place outside the store that it may be copied into.
    """
    good: list[str] = []
    bad: list[str] = []
    unsafe: list[str] = []
    for name in names:
        (bad if not is_unicode(name) else good if is_safe_name(name) else unsafe).append(name)
    if unsafe:
        logger.warning(
            "%s: %d names are absolute, lead out of the store with '..' or hold a NUL, and are left out: %s",
            location,
            len(unsafe),
            ", ".join(map(repr, unsafe[:_NUM_SHOWN])),
        )
    if bad:
        shown = ", ".join(repr(name.encode("utf-8", "surrogateescape")) for name in bad[:_NUM_SHOWN])
        logger.warning(
            "%s: %d names are no UTF-8 and are left out, rename them: %s", location, len(bad), shown
        )
    return good


class NameIndex:
    """Finds media by name.

    Args:
        names: path of each medium in the store, with slashes, no name twice.
        location: place of the store, for messages.
        is_same: says whether two names are one file, so that links to it are no doubt; None where none can be.

    Attributes:
        names: key -> path.
    """

    def __init__(
        self, names: Iterable[str], location: str, is_same: Callable[[str, str], bool] | None = None
    ):
        self.location = location
        self._is_same = is_same
        self.names: dict[str, str] = {}
        self._clashes: dict[str, list[str]] = {}
        for name in names:
            key = strip_ending(compose(name).rstrip("/"))
            known = self.names.setdefault(key, name)
            if known is not name:
                self._clashes.setdefault(key, [known]).append(name)
        self._resolve_clashes()
        self._by_stem: dict[str, list[str]] | None = None
        self._loose: dict[str, str] = {}

    def _resolve_clashes(self) -> None:
        for key in self._clashes:
            del self.names[key]
        for names in self._clashes.values():
            for name in sorted(names, key=lambda name: compose(name) != name):
                self._name_in_full(name)
        for key in [*self._clashes, *(key for key in self.names if ending_of(key) in ALL_ENDINGS)]:
            # 'a.mp4' means that file and not 'a.mp4.mkv'.
            stem = strip_ending(key)
            other = self.names.get(stem)
            if other is not None and stem != key == compose(other):
                del self.names[stem]
                self._name_in_full(other)

    def _name_in_full(self, name: str) -> None:
        """Make a medium's path its key, and that of another one which had this key without its ending."""
        displaced: str | None = name
        while displaced is not None:
            name, key = displaced, compose(displaced).rstrip("/")
            displaced = self.names.get(key)
            if displaced is not None and compose(displaced).rstrip("/") == key:
                # Names that are equal but for their form stay apart by their bytes.
                key, displaced = name, None
            self.names[key] = name

    def find(self, written: str) -> str | None:
        """Return the key of the medium that a name stands for; None where there is none.

        The name may be a key, a path with another or no ending, with the last folders of the location before it,
        or the end of a path. In a store without folders those of the name do not count.

        Raises:
            AmbiguousNameError: if it stands for several.
        """
        if written in self.names:
            return written
        name = clean_name(written)
        found = self._find_exact(name)
        if found is not None:
            return found
        if not name.startswith("/"):
            found = self._find_short(name)
            if found is not None:
                return found
        return self._find_below(name) if "/" in name else None

    def _find_exact(self, name: str) -> str | None:
        """Return the medium whose path a name is, with or without its ending."""
        if name in self.names:
            return name
        if name in self._clashes:
            raise self._complain(name, self._clashes[name])
        stem = strip_ending(name)
        if stem in self._clashes:
            raise self._complain(name, self._clashes[stem])
        return stem if stem in self.names else None

    def _find_short(self, name: str) -> str | None:
        """Return the medium whose path ends in a name."""
        if self._by_stem is None:
            self._by_stem = {}
            for key in self.names:
                self._by_stem.setdefault(strip_ending(key[key.rfind("/") + 1 :]), []).append(key)
        stem = strip_ending(name)
        candidates = self._by_stem.get(stem[stem.rfind("/") + 1 :], [])
        fitting = [key for key in candidates if strip_ending(key).endswith(f"/{stem}")]
        if len(fitting) > 1 and stem != name:
            fitting = [key for key in fitting if compose(self.names[key]).endswith(f"/{name}")] or fitting
        if not fitting:
            return None
        first = fitting[0]
        same = self._is_same
        if any(same is None or not same(self.names[first], self.names[key]) for key in fitting[1:]):
            raise self._complain(name, [self.names[key] for key in fitting])
        return first

    def _find_below(self, name: str) -> str | None:
        """Return the medium that a longer path leads to.

        The path goes through the store's own folder, or the store has no folders.
        """
        parts = name.strip("/").split("/")
        own = posixpath.basename(self.location.replace("\\", "/").rstrip("/"))
        for place in range(len(parts) - 1, 0, -1):
            if parts[place - 1] == own:
                found = self._find_exact("/".join(parts[place:]))
                if found is not None:
                    return found
        if any("/" in key for key in self.names):
            return None
        found = self._find_exact(parts[-1])
        if found is not None:
            folder = "/".join(parts[:-1])
            known = self._loose.setdefault(found, folder)
            if not (f"/{known}".endswith(f"/{folder}") or f"/{folder}".endswith(f"/{known}")):
                raise AmbiguousNameError(
                    f"'{known}/{parts[-1]}' and '{name}' are two paths, and the store has no folders and one "
                    f"'{self.names[found]}'",
                    name,
                    self.location,
                )
        return found

    def _complain(self, name: str, candidates: list[str]) -> AmbiguousNameError:
        shown = ", ".join(f"'{candidate}'" for candidate in sorted(candidates)[:_NUM_SHOWN])
        more = f" and {len(candidates) - _NUM_SHOWN} more" if len(candidates) > _NUM_SHOWN else ""
        return AmbiguousNameError(
            f"the name stands for {len(candidates)} files: {shown}{more}; write the path of one, with its ending",
            name,
            self.location,
        )
