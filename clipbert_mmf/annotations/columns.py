"""Finds the columns of a table by their usual names, where there is no doubt which is which."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipbert_mmf.annotations.records import AnnotationError

logger = logging.getLogger(__name__)

#: Where a column is named, unless a dataset says otherwise.
DEFAULT_KEY = "dataset_config.video_text_csv.columns"

#: Our name of a column -> usual names, in lower case and without anything but letters and digits.
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "video": (
        *(
            "video",
            "videoid",
            "videopath",
            "videoname",
            "videofile",
            "videofilename",
            "vid",
            "vidid",
            "vidname",
        ),
        *("clip", "clipid", "clipname", "clippath", "clipfile", "gif", "gifname", "mediapath"),
        *("file", "filename", "filepath", "path"),
    ),
    "text": ("text", "caption", "captions", "sentence", "sentences", "description", "title", "label"),
    "question": ("question", "questiontext", "q"),
    "answer": (
        *(
            "answer",
            "answertext",
            "correctanswer",
            "correct",
            "answeridx",
            "answerindex",
            "correctidx",
            "correctindex",
        ),
        *("groundtruth", "gt", "label", "a"),
    ),
    "options": ("options", "choices", "candidates", "answeroptions", "answerchoices", "multiplechoice"),
    "split": ("split", "subset", "partition", "datasplit"),
    "type": ("type", "answertype", "questiontype"),
    "start_sec": (
        *("startsec", "start", "startseconds", "starttime", "startsecond", "starttimesec", "startts"),
        *("begin", "begintime", "beginsec", "tstart", "timestart", "clipstart", "segmentstart"),
    ),
    "end_sec": (
        *("endsec", "end", "endseconds", "endtime", "endsecond", "endtimesec", "endts"),
        *("stop", "stoptime", "stopsec", "tend", "timeend", "clipend", "segmentend"),
    ),
}
#: Columns that may say which part of a video a row is about, and are not read.
_PARTS = {
    *("start", "begin", "end", "stop", "starts", "ends", "times", "timestamp", "timestamps"),
    *("segment", "segments", "window", "interval"),
}
#: Usual names of a column of images.
_IMAGE_NAMES = ("image", "imageid", "imagepath", "imagename", "imagefile", "cocoid", "vgid")
#: One option a column: ``a1 a2``, ``option_a option_b``, ``choice 0``, ``A B C D``.
_NUMBERED = re.compile(r"(a|o|opt|option|choice|answer|candidate)(\d{1,2}|[a-h])|()([a-h])")
#: Doubt about these is no reason to stop.
_OPTIONAL = ("type",)


@dataclass(frozen=True)
class Columns:
    """The columns of a file by our names.

    Attributes:
        theirs: our name -> the file's.
        options: columns of one option each.
        unread: columns that are none of these.
    """

    theirs: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def __contains__(self, ours: str) -> bool:
        return ours in self.theirs or (ours == "options" and bool(self.options))

    @property
    def differs(self) -> bool:
        """Whether records change under our names."""
        return bool(self.options) or any(ours != name for ours, name in self.theirs.items())

    def rename(self, entry: Any) -> Any:
        """Return a record under our names; a column that it lacks is left out."""
        if not isinstance(entry, dict) or not self.differs:
            return entry
        renamed = {key: value for key, value in entry.items() if key not in self.theirs.values()}
        renamed.update({ours: entry[name] for ours, name in self.theirs.items() if name in entry})
        if self.options:
            values = [entry.get(name) for name in self.options]
            while values and (values[-1] is None or not str(values[-1]).strip()):
                values.pop()  # a question with fewer options
            renamed["options"] = values
            renamed["answer"] = self._name_option(renamed.get("answer"), values)
        return renamed

    def _name_option(self, answer: Any, values: list[Any]) -> Any:
        """Return the option whose column an answer names, ``B`` or ``option_b``; another answer as it is."""
        written = _simplify(str(answer))
        if str(answer).strip() in map(str, values) or written.isdigit() or not written:
            return answer
        for name, value in zip(self.options, values, strict=False):
            column = _simplify(name)
            if written == column or (len(written) == 1 and column.endswith(written)):
                return value
        return answer

    def log(self, path: Path) -> None:
        """Tell which columns were taken for which, where the names differ."""
        taken = [f"{ours}={name}" for ours, name in self.theirs.items() if ours != name]
        if self.options:
            taken.append(f"options={', '.join(self.options)}")
        if taken:
            # A part of a video that is none would be the wrong pictures.
            level = logging.WARNING if {"start_sec", "end_sec"} & set(self.theirs) else logging.INFO
            logger.log(level, "%s: columns are read as %s", path, "; ".join(taken))
        wanted = _PARTS
        if "start_sec" in self.theirs and "end_sec" not in self.theirs:
            wanted = wanted | {"duration", "length"}
        unread = [name for name in self.unread if wanted & set(_split_words(name))]
        if unread:
            logger.warning(
                "%s: columns %s are not read; the part of a video is start_sec and end_sec, seconds or HH:MM:SS",
                path,
                ", ".join(unread),
            )


def find_columns(
    path: Path, names: Iterable[str], configured: Mapping[str, str], key: str, roles: Iterable[str]
) -> Columns:
    """Find the columns of a file.

    Our own name is always taken; of other usual names there must be one.

    Args:
        path: the file, for messages.
        names: the file's columns, or keys of its first record.
        configured: our name -> the file's, as configured.
        key: dotted key of the configured names, for messages.
        roles: our names to find.

    Raises:
        AnnotationError: if a configured column is not there, or several columns may be meant.
    """
    names = [str(name) for name in names]
    for ours, name in configured.items():
        if name not in names:
            raise AnnotationError(
                path, "columns", sorted(names)[:12], f"'{name}', as configured; set {key}.{ours}=<column>"
            )
    theirs = dict(configured)
    free = [name for name in names if name not in theirs.values()]
    own = {name for name in free if name in USUAL_NAMES}
    for ours in roles:
        if ours in theirs:
            continue
        if ours in free:
            theirs[ours] = ours
            continue
        usual = USUAL_NAMES.get(ours, ())
        found = [name for name in free if name not in own and _simplify(name) in usual]
        if len(found) == 1:
            theirs[ours] = found[0]
        elif found and ours not in _OPTIONAL:
            raise AnnotationError(
                path,
                "columns",
                found,
                f"one column that may be '{ours}'; say which: set {key}.{ours}={found[0]}",
            )
    options = () if "options" in theirs or "options" not in roles else _find_numbered(free)
    taken = {*theirs.values(), *options}
    return Columns(theirs, options, tuple(name for name in names if name not in taken))


def find_media_columns(names: Iterable[str]) -> list[str]:
    """Return the columns that may name a medium; one of the plainest name alone, where it is there."""
    found = [str(name) for name in names if _simplify(str(name)) in (*USUAL_NAMES["video"], *_IMAGE_NAMES)]
    return next(([name] for name in ("video_id", "video", "image_id") if name in found), found)


def _simplify(name: str) -> str:
    return re.sub("[^0-9a-z]", "", name.lower())


def _split_words(name: str) -> list[str]:
    return re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())


def _find_numbered(names: list[str]) -> tuple[str, ...]:
    groups: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        match = _NUMBERED.fullmatch(_simplify(name))
        if match:
            prefix, number = (found for found in match.groups() if found is not None)
            place = int(number) if number.isdigit() else ord(number)
            groups.setdefault(prefix, []).append((place, name))
    letters = [place for place, _ in sorted(groups.get("", []))]
    if letters != list(range(ord("a"), ord("a") + len(letters))):
        groups.pop("", None)  # a letter alone says little
    found = [sorted(group) for group in groups.values() if len(group) > 1]
    return tuple(name for _, name in found[0]) if len(found) == 1 else ()
