"""Lists the endings that media files are known by: they decide which files of a folder or a shard are media."""

from __future__ import annotations

from collections.abc import Iterable

_VIDEO = """
3g2 3gp 3gp2 3gpp amv apng asf avc avi bik dav dif divx dv dvr-ms evo f4v flv gif gxf h264 h265 hevc insv ivf lrv m1v
m2p m2t m2ts m2v m4v mjpeg mjpg mk3d mkv mod mov mp2v mp4 mp4v mpe mpeg mpg mpv mpv2 mts mxf nsv nut obu ogm ogv qt rm
rmvb roq smk swf tod trp ts vob webm wmv wtv xvid y4m
"""
_IMAGE = """
avif bmp dib gif heic heif hif j2c j2k jfif jp2 jpe jpeg jpf jpg jpx pbm pgm png pnm ppm tga tif tiff webp
"""
_SIDE = """
aac ass cls csv description flac html index info json jsonl lrc m4a md mp3 nfo npy npz ogg opus parquet part pickle pkl
pt pth pyd srt sub tar tsv txt vtt wav wma xml yaml yml ytdl zip
"""


def _split_endings(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


#: Medium -> endings, in lower case. Videos: all that FFmpeg demuxes as video. A GIF is both.
MEDIA_ENDINGS: dict[str, frozenset[str]] = {"video": _split_endings(_VIDEO), "image": _split_endings(_IMAGE)}
ALL_ENDINGS: frozenset[str] = MEDIA_ENDINGS["video"] | MEDIA_ENDINGS["image"]
#: Endings of files that lie beside media and are none; where a name needs no ending, these are left out all the same.
SIDE_ENDINGS: frozenset[str] = _split_endings(_SIDE)


def ending_of(name: str) -> str:
    """Return the ending of a name's last part in lower case, with its dot; empty where it has none."""
    stem, _, ending = name[name.rfind("/") + 1 :].rpartition(".")
    return f".{ending.lower()}" if ending and stem else ""


def strip_ending(name: str) -> str:
    """Return a name without a media ending, or without a bare final dot, which some owners' names have."""
    if name.endswith("."):
        return name.rstrip(".") or name
    ending = ending_of(name)
    return name[: -len(ending)] if ending in ALL_ENDINGS else name


def choose_names(names: Iterable[str], media: str | None) -> list[str]:
    """Return the names that are media, where a name needs no ending.

    Args:
        names: all names.
        media: ``video`` or ``image``; None takes what ``choose_media`` says.
    """
    known = [name for name in names if ending_of(name) not in SIDE_ENDINGS]
    wanted = MEDIA_ENDINGS[media or choose_media(known)]
    return [name for name in known if (ending := ending_of(name)) in wanted or ending not in ALL_ENDINGS]


def choose_media(names: Iterable[str]) -> str:
    """Return what a store holds, by the names in it: ``image`` where nothing is a video, else ``video``.

    A GIF alone does not decide where there are more still images.
    """
    num_gifs = num_images = 0
    for name in names:
        ending = ending_of(name)
        if ending in (".gif", ".apng"):
            num_gifs += 1
        elif ending in MEDIA_ENDINGS["video"]:
            return "video"
        elif ending in MEDIA_ENDINGS["image"]:
            num_images += 1
    return "image" if num_images > num_gifs else "video"
