"""Lists the endings that media files are known by.

Everything else a decoder reads is found by its content.
"""

from __future__ import annotations

#: Medium -> endings, in lower case.
MEDIA_ENDINGS: dict[str, frozenset[str]] = {
    "video": frozenset(
        [
            ".mp4",
            ".avi",
            ".mkv",
            ".webm",
            ".mov",
            ".gif",
            ".m4v",
            ".mpg",
            ".mpeg",
            ".flv",
            ".wmv",
            ".ts",
            ".3gp",
        ]
    ),
    "image": frozenset([".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"]),
}
