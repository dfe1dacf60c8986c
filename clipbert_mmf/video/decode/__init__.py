"""Decodes encoded video to uint8 RGB frames at given times; the result does not depend on the backend.

``timeline`` has the rule that says which frame is on screen at a time, and ``reading`` the one function
everybody calls.
"""

from clipbert_mmf.video.decode.backend import Backend, CannotServeError
from clipbert_mmf.video.decode.reading import BACKENDS, describe_video, read_frames, register_backend
from clipbert_mmf.video.decode.timeline import VideoInfo

__all__ = [
    "BACKENDS",
    "Backend",
    "CannotServeError",
    "VideoInfo",
    "describe_video",
    "read_frames",
    "register_backend",
]
