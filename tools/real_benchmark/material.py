"""Finds the downloaded material, and writes the small tables that the package's readers take beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FLICKR8K = ("flickr8k/photos.tar", "flickr8k/dataset_flickr8k.json")
UCF20 = ("ucf20/clips.tar", "ucf20/clips.csv")


class MissingMaterialError(FileNotFoundError):
    """Material that is not there; the message says which files are expected."""


@dataclass(frozen=True)
class Material:
    """The downloaded material and the folder of what is made from it.

    Attributes:
        data: holds ``flickr8k``, ``ucf20`` and ``weights``; only read.
        work: everything that is made.
    """

    data: Path
    work: Path

    def require(self, files: Iterable[str]) -> None:
        """Raise ``MissingMaterialError`` where a file is not there."""
        missing = [name for name in files if not (self.data / name).is_file()]
        if missing:
            raise MissingMaterialError(
                f"{self.data} has no {', '.join(missing)}; tools/real_benchmark.sh takes the folder that holds "
                "flickr8k/, ucf20/ and weights/ (docs/results.md says where they come from)"
            )

    @property
    def photos(self) -> Path:
        """All photos of Flickr8k."""
        return self.data / FLICKR8K[0]

    @property
    def captions(self) -> Path:
        """Flickr8k's captions and official split in Karpathy's format."""
        return self.data / FLICKR8K[1]

    @property
    def clips(self) -> Path:
        """All clips of UCF101."""
        return self.data / UCF20[0]

    @property
    def features(self) -> Path:
        """Frozen features of all photos and captions."""
        return self.work / "features.npz"

    def write_test_photos(self, count: int) -> Path:
        """Write the names of the first test photos, for ``only`` of an annotation source."""
        content = json.loads(self.captions.read_text(encoding="utf-8"))
        names = [image["filename"] for image in content["images"] if image["split"] == "test"][:count]
        path = self.work / f"test_{count}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        return path
