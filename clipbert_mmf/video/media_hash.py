"""Names a medium by its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.sources import open_source


def hash_media(path: Path) -> str:
    """Return the SHA-256 of a file, or of all images of a folder of frames in their order, in hexadecimal.

    Raises:
        MediaError: if it cannot be read.
    """
    digest = hashlib.sha256()
    for part in FrameFolder(path).list_frames() if path.is_dir() else [path]:
        with open_source(part) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
