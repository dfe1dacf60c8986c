"""Keeps the encodings of videos on disk, so that a search reads no video twice; new files are encoded alone.

An entry is one file, named by the hashes of the video's bytes and of the model with its sampling. It is
written beside its place and moved there, so that a kill leaves whole entries only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from clipbert_mmf.inference.asking import EncodedMedia
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.json_text import parse_json
from clipbert_mmf.video.errors import MediaError
from clipbert_mmf.video.frame_folders import FrameFolder
from clipbert_mmf.video.sources import open_source
from clipbert_mmf.video.stores.base import stamp_media

logger = logging.getLogger(__name__)

#: Version of an entry's content; an entry of another version is encoded again.
FORMAT_VERSION = "2"
#: Parts of the network that an encoding depends on.
ENCODING_PARTS = ("backbone", "grid_encoder", "temporal_fusion", "visual_embedding")
_HASHES_FILE = "files.json"


def hash_file(path: Path) -> str:
    """Return the SHA-256 of the bytes of a file, or of all images of a folder of frames."""
    digest = hashlib.sha256()
    for part in FrameFolder(path).list_frames() if path.is_dir() else [path]:
        with open_source(part) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def hash_model(model: ClipBert) -> str:
    """Return a hash of all that an encoding depends on.

    The weights of ``ENCODING_PARTS`` and the sampling.
    """
    digest = hashlib.sha256(json.dumps(model.preprocessing.to_dict(), sort_keys=True).encode())
    # A decoder of one's own may show other pictures.
    digest.update(getattr(model.preprocessing.clips, "backend", "").encode())
    for part in ENCODING_PARTS:
        for name, value in sorted(getattr(model.network, part).state_dict().items()):
            digest.update(f"{part}.{name}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class SearchIndex:
    """Encodings of video files in a folder of its own.

    Args:
        folder: made if missing; entries of several models may share it.
        model: encodes the videos that the index lacks.

    Attributes:
        num_encoded: videos encoded since the index was opened.
    """

    def __init__(self, folder: str | Path, model: ClipBert) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = model
        self.num_encoded = 0
        self._model_hash = hash_model(model)[:16]
        self._hashes = self._read_hashes()

    def get(self, path: str | Path) -> EncodedMedia:
        """Return the encoding of a video, made now where the index lacks it.

        Raises:
            MediaError: if the video cannot be read.
        """
        path = Path(path)
        place = self._place(path)
        encoded = self._read(place)
        if encoded is None:
            encoded = self.model.encode(path)
            self._write(place, encoded)
            self.num_encoded += 1
        return encoded

    def encode_all(self, paths: Iterable[Path]) -> Iterator[tuple[Path, EncodedMedia | None, str]]:
        """Yield each path with its encoding, or None and why it cannot be read."""
        try:
            for path in paths:
                try:
                    yield path, self.get(path), ""
                except MediaError as error:
                    yield path, None, str(error)
        finally:
            self._write_hashes()

    def _place(self, path: Path) -> Path:
        key = str(path.resolve())
        try:
            mark = stamp_media(path)
            known = self._hashes.get(key)
            if known is None or known[0] != mark:
                known = self._hashes[key] = (mark, hash_file(path))
        except OSError as error:
            raise MediaError(f"cannot be read: {error}", str(path)) from error
        return self.folder / f"{known[1][:32]}-{self._model_hash}.safetensors"

    def _read(self, place: Path) -> EncodedMedia | None:
        if not place.is_file():
            return None
        try:
            with safe_open(str(place), framework="pt") as file:
                metadata = parse_json((file.metadata() or {}).get("clipbert_mmf", "{}"))
                if metadata.get("version") != FORMAT_VERSION:
                    return None
                times = tuple((float(start), float(end)) for start, end in metadata["times_sec"])
                return EncodedMedia(file.get_tensor("visual"), times)
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            logger.warning("%s is damaged and written again: %s", place, error)
            return None

    def _write(self, place: Path, encoded: EncodedMedia) -> None:
        metadata = {"clipbert_mmf": json.dumps({"version": FORMAT_VERSION, "times_sec": encoded.times_sec})}
        part = place.with_name(f"{place.name}.{os.getpid()}.part")
        save_file({"visual": encoded.visual.cpu().contiguous()}, part, metadata)
        os.replace(part, place)

    def _read_hashes(self) -> dict[str, tuple[str, str]]:
        # The file saves hashing unchanged videos; where it is missing or damaged they are hashed again.
        try:
            content = parse_json((self.folder / _HASHES_FILE).read_text(encoding="utf-8"))
            return {str(key): (str(mark), str(digest)) for key, (mark, digest) in content.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _write_hashes(self) -> None:
        part = self.folder / f"{_HASHES_FILE}.{os.getpid()}.part"
        part.write_text(json.dumps(self._hashes, indent=0), encoding="utf-8")
        os.replace(part, self.folder / _HASHES_FILE)
