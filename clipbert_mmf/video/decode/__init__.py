"""Encoded video to uint8 RGB frames at given times, the same whatever decodes them.

Comes after ``store`` and ``sampling``; ``transforms.frames`` resizes what comes out. See ``timeline`` for the rule that
says which frame is on screen at a time, and ``reading`` for the one function everybody calls.
"""

from clipbert_mmf.video.decode.reading import BACKENDS, describe_video, read_frames, register_backend
from clipbert_mmf.video.decode.timeline import VideoInfo

__all__ = ["BACKENDS", "VideoInfo", "describe_video", "read_frames", "register_backend"]
