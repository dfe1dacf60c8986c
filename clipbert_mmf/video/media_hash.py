"""Names a medium by its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.sources import open_source


def hash_media(path: Path) -> str:
    """Return the SHA-256 of a file, or of all images of a folder of frames in their order, in hexadecimal.

    Raises:
        MediaError: if it cannot be read.
    """
    return digest_files(FrameFolder(path).list_frames() if path.is_dir() else [path])[0].hexdigest()


def digest_files(paths: Iterable[Path]) -> tuple[Any, int]:
    """Return the SHA-256 object of the files' bytes, one after the other, and their number of bytes.

    Raises:
        MediaError: if one cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    for path in paths:
        with open_source(path) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
                size += len(block)
    return digest, size
