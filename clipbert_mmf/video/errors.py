"""Defines the errors about media: types that say which medium, in which store, and why.

Everything ``video`` raises about a medium is a ``MediaError``; the dataset decides what a failure does.
"""

from __future__ import annotations

from clipbert_mmf.shown_text import escape_text

#: Longer side over shorter side beyond which a picture is taken for broken.
MAX_ASPECT = 100


class MediaError(Exception):
    """A medium cannot be read.

    Args:
        reason: the fault, in one line.
        key: the medium's key in the store, or its file name.
        store: the location of the store.
    """

    def __init__(self, reason: str, key: str = "", store: str = ""):
        self.reason = " ".join(str(reason).split())
        self.key = str(key)
        self.store = str(store)
        super().__init__(self.reason, self.key, self.store)

    def __str__(self) -> str:
        if self.store and not self.key:
            return escape_text(f"{self.store}: {self.reason}")
        place = f" in {self.store}" if self.store else ""
        return escape_text(f"'{self.key or 'unnamed medium'}'{place}: {self.reason}")


class MissingMediaError(MediaError):
    """The store holds nothing under this key."""


class AmbiguousNameError(MediaError):
    """A name stands for several media of the store."""


class EmptyMediaError(MediaError):
    """The file has no bytes, or no frame."""


class TruncatedMediaError(MediaError):
    """The file ends before its own headers say so."""


class NoVideoStreamError(MediaError):
    """The file is no video: audio only, an image, or something else entirely."""


class OutsideVideoError(MediaError):
    """The part of the video that was asked for lies outside it; the video itself may be sound."""


class ExtremeAspectError(MediaError):
    """The picture is so long and thin that nothing would be left of it after resizing."""


class DecodeError(MediaError):
    """The file cannot be opened, or a wanted frame cannot be decoded."""


class ReaderTimeoutError(MediaError):
    """Reading took longer than the watchdog allows; the reader process was ended."""


class StoreError(MediaError):
    """The store itself cannot be opened or read."""


#: Megapixels of a picture that are decoded at most, where nothing else is said: more than an 8K video has.
MAX_MEGAPIXELS = 50.0


def refuse_many_pixels(width: int, height: int, max_megapixels: float) -> None:
    """Raise ``DecodeError`` for a picture that would take too much memory; a small file may hold one."""
    if width * height > max_megapixels * 1e6:
        raise DecodeError(
            f"the picture is {width}x{height}, {width * height / 1e6:.1f} megapixels; at most {max_megapixels:g} are "
            f"decoded (max_megapixels of the media processor)"
        )


def refuse_extreme_aspect(width: int, height: int) -> None:
    """Raise ``ExtremeAspectError`` for a picture of which resizing would leave nothing."""
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ExtremeAspectError(f"the picture is {width}x{height}")
