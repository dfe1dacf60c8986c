"""Images of any kind become upright RGB; broken ones are typed errors."""

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from clipbert_mmf.video.errors import (
    DecodeError,
    EmptyMediaError,
    ExtremeAspectError,
    MediaError,
    MissingMediaError,
)
from clipbert_mmf.video.images import read_image
from tests.encoded_media import write_image


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("colour.jpg", "RGB"),
        ("colour.png", "RGB"),
        ("colour.webp", "RGB"),
        ("grey.jpg", "L"),
        ("grey.png", "L"),
        ("print.jpg", "CMYK"),
        ("clear.png", "RGBA"),
        ("clear.webp", "RGBA"),
        ("palette.png", "P"),
        ("one_bit.png", "1"),
        ("grey_clear.png", "LA"),
        ("still.gif", "P"),
        ("colour.bmp", "RGB"),
    ],
)
def test_every_kind_of_image_becomes_rgb(tmp_path, name, mode):
    picture = read_image(write_image(tmp_path / name, mode=mode))
    assert picture.shape == (3, 48, 64) and picture.dtype == torch.uint8
    dark, bright = 30, 220
    assert abs(picture[:, :, :24].float().mean() - dark) < 8
    assert abs(picture[:, :, 40:].float().mean() - bright) < 12


def test_sixteen_bits_keep_their_brightness():
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    picture = read_image(encode(Image.fromarray(ramp), "PNG"))
    assert np.abs(picture[0].numpy().astype(int) - (ramp >> 8)).max() <= 1
    assert torch.equal(picture[0], picture[2])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation):
    upright = np.zeros((48, 64, 3), np.uint8)
    upright[:16, :24] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_image(encode(Image.fromarray(np.ascontiguousarray(stored)), "JPEG", quality=95, exif=exif))
    assert picture.shape == (3, 48, 64)
    assert np.abs(picture.permute(1, 2, 0).numpy().astype(int) - upright).mean() < 3


@pytest.mark.parametrize(
    ("longest", "expected"),
    [(None, 640), (700, 640), (640, 640), (400, 640), (320, 320), (300, 320), (100, 160), (10, 80)],
)
def test_a_jpeg_is_decoded_small_but_never_below_the_size_asked_for(longest, expected):
    data = encode(Image.new("RGB", (640, 480), (200, 90, 30)), "JPEG")
    picture = read_image(data, longest_side=longest)
    assert max(picture.shape) == expected
    assert (picture.float().mean((1, 2)) - torch.tensor([200.0, 90.0, 30.0])).abs().max() < 4


def test_bytes_and_path_give_the_same(tmp_path):
    path = write_image(tmp_path / "a.png")
    assert torch.equal(read_image(path), read_image(path.read_bytes()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_image_is_an_error(kind, share):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind)
    with pytest.raises(DecodeError, match="'img3' in /data: (broken image|not an image)"):
        read_image(data[: int(len(data) * share)], key="img3", store="/data")


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", EmptyMediaError), (b"<html>404</html>", DecodeError), (b"\x89PNG\r\n\x1a\n", DecodeError)],
)
def test_what_is_no_image_is_an_error(data, error):
    with pytest.raises(error):
        read_image(data)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(MissingMediaError, match="gone.jpg"):
        read_image(tmp_path / "gone.jpg")


def test_an_endlessly_long_image_is_an_error():
    with pytest.raises(ExtremeAspectError, match="2000x4"):
        read_image(encode(Image.new("RGB", (2000, 4)), "PNG"))


def test_an_image_that_would_fill_the_memory_is_an_error(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DecodeError, match="broken image.*decompression bomb"):
        read_image(encode(Image.new("RGB", (64, 48)), "PNG"))


@pytest.mark.parametrize(
    "error", [KeyError("x"), TypeError("x"), struct.error("x"), RecursionError(), MemoryError()]
)
def test_whatever_pillow_throws_is_a_media_error_with_the_name(tmp_path, monkeypatch, error):
    path = write_image(tmp_path / "a.png")

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DecodeError, match="'a' in here: broken image"):
        read_image(path, key="a", store="here")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "JPEG2000"])
def test_damage_leads_to_a_picture_or_to_a_media_error(tmp_path, kind):
    rng, data = np.random.default_rng(0), write_image(tmp_path / "a", format=kind).read_bytes()
    for _ in range(40):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 20)):
            damaged[place] = rng.integers(256)
        try:
            assert (
                read_image(bytes(damaged[: rng.integers(1, len(data) + 1)]), key="damaged").dtype
                == torch.uint8
            )
        except MediaError as error:
            assert error.key == "damaged"
