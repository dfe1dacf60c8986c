"""Reads the annotation files of their owners as ``TextRecord``s; a file's content tells its format."""

from __future__ import annotations

from clipbert_mmf.annotations.formats import (
    FORMATS,
    AnnotationFormat,
    has_column,
    read_annotations,
    read_keys,
    register_format,
)
from clipbert_mmf.annotations.records import AnnotationError, TextRecord

__all__ = [
    "FORMATS",
    "AnnotationError",
    "AnnotationFormat",
    "TextRecord",
    "has_column",
    "read_annotations",
    "read_keys",
    "register_format",
]
