"""Encoded files that several tests read, written once per session."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.encoded_media import write_video

#: Square numbers: no two frames are shown equally long.
VARIABLE_PTS = [number * number for number in range(24)]
VARIABLE_TIME_BASE = Fraction(1, 90)

#: File name to how it is written. 24 frames at 12 per second unless it says otherwise.
VIDEO_FILES: dict[str, dict] = {
    "plain.mp4": {},
    "b_frames.mp4": {"b_frames": 2, "codec_options": {"preset": "medium"}},
    "one_gop.mp4": {"gop": 250, "b_frames": 3, "codec_options": {"preset": "medium"}},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "sound.mp4": {"audio": True},
    "open_gop.mkv": {
        "b_frames": 3,
        "codec_options": {"preset": "medium", "x264-params": "open-gop=1:scenecut=0"},
    },
    "matroska.mkv": {"b_frames": 2, "fps": Fraction(30000, 1001)},
    "late_start.mp4": {"pts": list(range(100, 124))},
    "variable.mp4": {"pts": VARIABLE_PTS, "time_base": VARIABLE_TIME_BASE},
    "variable.mkv": {"pts": VARIABLE_PTS, "time_base": VARIABLE_TIME_BASE},
    "turned_90.mp4": {"rotation": 90},
    "turned_180.mp4": {"rotation": 180},
    "turned_270.mov": {"rotation": 270},
    "mirrored.mp4": {"mirror": "left_right"},
    "turned_mirrored.mov": {"mirror": "transpose"},
    "odd.mp4": {"width": 131, "height": 67, "pix_fmt": "yuv444p"},
    "odd.webm": {"width": 131, "height": 67, "codec": "libvpx-vp9"},
    "ten_bit.mp4": {"pix_fmt": "yuv420p10le", "codec_options": {"preset": "ultrafast"}},
    "hevc.mp4": {
        "codec": "libx265",
        "codec_options": {"x265-params": "log-level=none:pools=none", "preset": "ultrafast"},
    },
    "av1.mkv": {"codec": "libsvtav1", "codec_options": {"preset": "8", "svtav1-params": "lp=1"}},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp8.webm": {
        "codec": "libvpx",
        "codec_options": {"crf": "8", "b": "4M", "auto-alt-ref": "1", "lag-in-frames": "16"},
    },
    "asp.avi": {"codec": "mpeg4", "b_frames": 2},
    "asp.mp4": {"codec": "mpeg4", "b_frames": 2},
    "plain.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg2.mpg": {"codec": "mpeg2video", "fps": 25, "b_frames": 2},
    "transport.ts": {"b_frames": 2},
    "animated.gif": {"codec": "gif", "gop": 99},
    "lossless.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
}


@pytest.fixture(scope="session")
def video_file(tmp_path_factory):
    """Return a function from a name in ``VIDEO_FILES`` to its path."""
    folder = tmp_path_factory.mktemp("videos")

    def get(name: str) -> Path:
        path = folder / name
        return path if path.exists() else write_video(path, **VIDEO_FILES[name])

    return get
