"""Writes real encoded files at test time.

Every frame shows its own number, so a test can read which one it got.

A frame is a dark picture with a row of white squares, the bits of its number (most significant first), and a
bright corner at the top left that shows which way is up. Blocks of 16 pixels survive any codec.
"""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BLOCK = 16
NUM_BITS = 6
WIDTH, HEIGHT = BLOCK * (NUM_BITS + 2), 64


def draw_frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return ``(height, width, 3)`` uint8.

    Red corner at the top left, the number's bits in the third row of blocks.
    """
    picture = np.full((height, width, 3), 40, dtype=np.uint8)
    picture[:BLOCK, : 2 * BLOCK] = (220, 40, 40)
    for bit in range(NUM_BITS):
        if number >> (NUM_BITS - 1 - bit) & 1:
            left = (bit + 1) * BLOCK
            picture[2 * BLOCK : 3 * BLOCK, left : left + BLOCK] = 235
    return picture


def read_number(picture: np.ndarray) -> int:
    """Return the number a decoded frame shows; the inverse of ``draw_frame``.

    Args:
        picture: ``(H, W, 3)`` or ``(3, H, W)`` uint8, upright, not resized.
    """
    picture = np.asarray(picture)
    if picture.shape[0] == 3:
        picture = picture.transpose(1, 2, 0)
    row = picture[2 * BLOCK + 4 : 3 * BLOCK - 4].astype(float).mean(axis=(0, 2))
    bits = [row[(bit + 1) * BLOCK + 4 : (bit + 2) * BLOCK - 4].mean() > 128 for bit in range(NUM_BITS)]
    return sum(int(value) << (NUM_BITS - 1 - bit) for bit, value in enumerate(bits))


def is_upright(picture: np.ndarray) -> bool:
    """Tell whether the red corner is at the top left and nowhere else."""
    picture = np.asarray(picture)
    if picture.shape[0] == 3:
        picture = picture.transpose(1, 2, 0)
    red = (picture[..., 0].astype(int) - picture[..., 1]) > 60
    rows, columns = np.nonzero(red)
    return (
        len(rows) > 0 and rows.max() < BLOCK + 3 and columns.max() < 2 * BLOCK + 3 and columns.max() > BLOCK
    )


def write_video(
    path: Path,
    num_frames: int = 24,
    *,
    fps: int | Fraction = 12,
    codec: str = "libx264",
    pix_fmt: str | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    gop: int = 8,
    b_frames: int | None = None,
    pts: list[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    mirror: str = "",
    container: str | None = None,
    codec_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    audio: bool = False,
    second_stream: bool = False,
    tile: bool = False,
) -> Path:
    """Encode frames 0, 1, 2, ... and return the path.

    Args:
        path: file to write.
        num_frames: frames to encode.
        fps: frames per second.
        codec: FFmpeg's name of the encoder.
        pix_fmt: pixel format, or None for the encoder's first.
        width: in pixels.
        height: in pixels.
        gop: largest distance of key frames.
        time_base: unit of ``pts``.
        container: FFmpeg's name of the container, or None for the ending's.
        codec_options: further options of the encoder.
        container_options: options of the container.
        audio: add a silent audio stream.
        pts: presentation time of each frame in ticks of ``time_base``; equal distance at ``fps`` without it.
        rotation: degrees counter-clockwise that a player must turn the picture; what is shown stays upright.
        mirror: ``left_right`` or ``transpose``: how the stored picture is mirrored; what is shown stays
            upright.
        b_frames: largest number of consecutive B-frames, or None for the codec's own choice.
        second_stream: add another video stream, all black.
        tile: the picture is too small for ``draw_frame``; make it grey.
    """
    options = {"crf": "1"} if codec.startswith("lib") else {}
    options |= {"preset": "ultrafast"} if codec == "libx264" and b_frames is None else {}
    if codec == "libvpx-vp9":
        options |= {"deadline": "realtime", "cpu-used": "8"}
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=fps, options={**options, **(codec_options or {})})
        turned = rotation % 180 != 0 or mirror == "transpose"
        stream.width, stream.height = (height, width) if turned else (width, height)
        stream.pix_fmt = pix_fmt or {"gif": "rgb8"}.get(codec, "yuv420p")
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        if time_base is not None:
            stream.codec_context.time_base = time_base
        sound = output.add_stream("aac", rate=16000) if audio else None
        other = _add_black_stream(output, fps, width, height) if second_stream else None
        for number in range(num_frames):
            drawn = np.full((height, width, 3), 128, np.uint8) if tile else draw_frame(number, width, height)
            # What is stored is turned the other way, so that what is shown is upright.
            drawn = {"left_right": drawn[:, ::-1], "transpose": drawn.transpose(1, 0, 2)}.get(mirror, drawn)
            picture = np.ascontiguousarray(np.rot90(drawn, -rotation // 90))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number if pts is None else pts[number]
            frame.time_base = time_base or 1 / Fraction(fps)
            output.mux(stream.encode(frame))
            if other is not None:
                output.mux(other.encode(av.VideoFrame.from_ndarray(np.zeros_like(picture), format="rgb24")))
        output.mux(stream.encode(None))
        if other is not None:
            output.mux(other.encode(None))
        if sound is not None:
            _write_silence(output, sound, seconds=num_frames / float(fps))
    if rotation or mirror:
        _write_display_matrix(Path(path), rotation or mirror)
    return Path(path)


def write_frames_as_video(path: Path, pictures: list[np.ndarray], fps: int = 2) -> Path:
    """Encode pictures ``(H, W, 3)`` uint8 as H.264 and return the path."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "1"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return Path(path)


def _write_display_matrix(path: Path, turn: int | str) -> None:
    """Set the first track's display matrix in its ``tkhd`` box, as a phone does.

    Older PyAV has no call for it.
    """
    data = bytearray(path.read_bytes())
    turns = {
        90: (0, -1, 1, 0),
        180: (-1, 0, 0, -1),
        270: (0, 1, -1, 0),
        "left_right": (-1, 0, 0, 1),
        "transpose": (0, 1, 1, 0),
    }
    a, b, c, d = (value << 16 for value in turns[turn])
    matrix = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)


def copy_packets(source: Path, path: Path, keep, shift: int = 0) -> Path:
    """Copy a video without decoding it: the packets for which ``keep(number, packet)`` holds, moved in time.

    Args:
        source: video to copy from.
        path: file to write.
        keep: tells whether a packet is copied.
        shift: ticks added to every time; a negative one makes the MP4 writer add an edit list.
    """
    with av.open(str(source)) as opened, av.open(str(path), "w") as output:
        stream = opened.streams.video[0]
        copied = output.add_stream_from_template(stream)
        for number, packet in enumerate(packet for packet in opened.demux(stream) if packet.size):
            if keep(number, packet):
                packet.stream = copied
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                output.mux(packet)
    return Path(path)


def _add_black_stream(output, fps, width: int, height: int):
    stream = output.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    return stream


def write_audio(path: Path, seconds: float = 0.5) -> Path:
    """Write a file with sound and no picture."""
    with av.open(str(path), "w") as output:
        _write_silence(output, output.add_stream("aac", rate=16000), seconds)
    return Path(path)


def write_mjpeg_with_exif(path: Path, num_frames: int = 6, orientation: int = 1, fps: int = 12) -> Path:
    """Write Motion-JPEG whose pictures carry EXIF, as some cameras do: side data that PyAV has no name for.

    ``orientation`` is 1 for upright pictures, 6 for ones stored a quarter turn counter-clockwise.
    """
    from PIL import Image

    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=fps)
        turned = orientation == 6
        stream.width, stream.height = (HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT)
        stream.pix_fmt = "yuvj420p"
        for number in range(num_frames):
            exif = Image.Exif()
            exif[0x0112] = orientation
            buffer = io.BytesIO()
            picture = Image.fromarray(np.ascontiguousarray(np.rot90(draw_frame(number), int(turned))))
            picture.save(buffer, "JPEG", quality=95, exif=exif)
            packet = av.Packet(buffer.getvalue())
            packet.stream, packet.is_keyframe = stream, True
            packet.pts = packet.dts = number
            packet.time_base = Fraction(1, fps)
            output.mux(packet)
    return Path(path)


def write_late_pictures(path: Path, num_frames: int = 24, fps: int = 12, late_sec: int = 2) -> Path:
    """Write sound that starts at 0 and pictures that start later, as screen and conference recorders do."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=fps, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = output.add_stream("aac", rate=16000)
        _write_silence(output, sound, late_sec + num_frames / fps)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(draw_frame(number), format="rgb24")
            frame.pts, frame.time_base = late_sec * fps + number, 1 / Fraction(fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return Path(path)


def write_tagged_colours(path: Path, matrix: int, is_full_range: bool = False) -> Path:
    """Write one colour, Y=120 Cb=90 Cr=200, that says how it is to be converted.

    ``matrix`` is a number of H.273: 1 is BT.709, 6 BT.601, 9 BT.2020.
    """
    layout = "yuvj420p" if is_full_range else "yuv420p"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, layout
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if is_full_range else 1
        frame = av.VideoFrame(64, 64, layout)
        frame.colorspace, frame.color_range = matrix, 2 if is_full_range else 1
        for plane, value in zip(frame.planes, (120, 90, 200), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return Path(path)


def _write_silence(output, stream, seconds: float) -> None:
    for start in range(0, int(seconds * 16000), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, start
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def write_image(path: Path, width: int = 64, height: int = 48, mode: str = "RGB", **options) -> Path:
    """Write an image whose left half is dark and right half is bright."""
    from PIL import Image

    picture = np.full((height, width, 3), 30, np.uint8)
    picture[:, width // 2 :] = 220
    Image.fromarray(picture).convert(mode).save(path, **options)
    return Path(path)


def write_lmdb(folder: Path, values: dict[str, bytes]) -> Path:
    """Write a store in the layout of the released ClipBERT."""
    import lmdb

    with lmdb.open(str(folder), map_size=2**26) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    return Path(folder)
