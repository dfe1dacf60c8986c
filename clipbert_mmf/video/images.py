"""Decodes images of any kind to upright RGB, uint8."""
# pyright: reportUnknownMemberType=false
# torch's and numpy's own annotations leave the arguments of some methods open.

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from clipbert_mmf.video.errors import (
    MAX_MEGAPIXELS,
    DecodeError,
    EmptyMediaError,
    MediaError,
    refuse_extreme_aspect,
    refuse_many_pixels,
)
from clipbert_mmf.video.sources import read_source

#: First bytes of the image formats that stores hold. A GIF is a video here.
_MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    # TIFF and BigTIFF.
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
    # JPEG 2000, in its container and bare.
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
)
#: Brands of HEIF that are one picture: HEIC and AVIF. FFmpeg would take them for videos of one frame.
_STILL_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif")
#: First bytes of containers of videos: Matroska, FLV, MPEG, GIF, ASF.
_CONTAINERS = (b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\x00\x00\x01\xba", b"GIF8", b"\x30\x26\xb2\x75")


def is_image(head: bytes) -> bool:
    """Return whether a file is a still image, by its first 16 bytes."""
    return (
        head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or is_still_container(head)
    )


def is_still_container(head: bytes) -> bool:
    """Return whether a file is a picture in a container of videos (HEIC, AVIF), by its first 16 bytes."""
    return head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS


def is_media(head: bytes) -> bool:
    """Return whether a file is a still image or a video of a common container, by its first 16 bytes."""
    return is_image(head) or is_video(head)


def is_video(head: bytes) -> bool:
    """Return whether a file is a video of a common container, by its first 16 bytes."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat"):
        return head[8:11] != b"M4A" and not is_still_container(head)
    return head.startswith(_CONTAINERS) or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


def read_image(
    source: bytes | Path,
    *,
    key: str = "",
    store: str = "",
    longest_side: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Tensor:
    """Decode one image: first frame, EXIF rotation applied, any colour mode made RGB, transparency dropped.

    Args:
        source: the encoded bytes, or a file.
        key: name for messages.
        store: location for messages.
        longest_side: the size it will be resized to; lets a JPEG decode at 1/2, 1/4 or 1/8 of its size, never
            below this. Faster, and the result differs from resizing the full picture as antialiasing does.
        max_megapixels: largest picture that is decoded.

    Returns:
        ``(3, H, W)`` uint8 RGB, stored as ``(H, W, 3)``.

    Raises:
        MediaError: MissingMediaError, EmptyMediaError, ExtremeAspectError, or DecodeError with the reason.
    """
    data = _read_bytes(source, key, store)
    if max_megapixels > MAX_MEGAPIXELS and max_megapixels * 1e6 > (Image.MAX_IMAGE_PIXELS or math.inf):
        # Pillow refuses twice its own limit before ours can be asked.
        Image.MAX_IMAGE_PIXELS = int(max_megapixels * 1e6)
    try:
        image = Image.open(io.BytesIO(data))
        with image:
            refuse_extreme_aspect(image.width, image.height)
            if longest_side and image.format == "JPEG":
                _allow_reduced_scale(image, longest_side)
            refuse_many_pixels(image.width, image.height, max_megapixels)
            # Both read the pixels: a truncated file raises here.
            ImageOps.exif_transpose(image, in_place=True)
            pixels = np.array(_to_rgb(image))
    except UnidentifiedImageError as error:
        raise DecodeError("not an image in a format that Pillow knows", key, store) from error
    except MediaError as error:
        raise type(error)(error.reason, key, store) from error
    except Image.DecompressionBombError as error:
        raise DecodeError(
            f"broken image: {error}; at most {max_megapixels:g} megapixels are decoded (max_megapixels)",
            key,
            store,
        ) from error
    except Exception as error:  # Pillow's plugins raise whatever the damage leads to
        raise DecodeError(f"broken image: {error or type(error).__name__}", key, store) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def read_image_size(source: bytes | Path) -> tuple[int, int]:
    """Return width and height of the stored picture, before any rotation; of one that ``read_image`` takes."""
    image: Image.Image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    with image:
        return image.width, image.height


def _read_bytes(source: bytes | Path, key: str, store: str) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    else:
        try:
            data = read_source(source)
        except MediaError as error:
            raise type(error)(error.reason, key or str(source), store) from error
    if not data:
        raise EmptyMediaError(
            "the file is empty", key or (str(source) if isinstance(source, Path) else ""), store
        )
    return data


def _allow_reduced_scale(image: Image.Image, longest_side: int) -> None:
    longer = max(image.size)
    if longer < 2 * longest_side:
        return
    # draft() picks the smallest scale that is not below the size asked for; the ceiling keeps that promise.
    width, height = (-(-side * longest_side // longer) for side in image.size)
    image.draft(None, (width, height))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "I":
        values = np.asarray(image)
        # Pillow reads 16-bit PNG as 32-bit integers where it has no 16-bit mode.
        shift = 8 if values.max(initial=0) > 255 else 0
        return Image.fromarray(np.clip(values >> shift, 0, 255).astype(np.uint8)).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
