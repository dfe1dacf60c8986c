"""Types of values on the command line: one that cannot be meant is an error of the command line, with its option."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path


def count(at_least: int = 1) -> Callable[[str], int]:
    """Return the type of an option that takes a whole number.

    Args:
        at_least: smallest number that is allowed.
    """

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < at_least:
            raise argparse.ArgumentTypeError(f"'{text}': expected a whole number, at least {at_least}")
        return number

    return parse


def positive(text: str) -> float:
    """Return the value of an option that takes a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"'{text}': expected a number above 0")
    return number


def filled(text: str) -> str:
    """Return the value of an argument that is not empty: an empty name would stand for the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; give a value")
    return text


def setting(text: str) -> str:
    """Return an option of ``mmf_run``, ``KEY=VALUE``."""
    key, equals, _ = text.partition("=")
    if not equals or not key or " " in key:
        raise argparse.ArgumentTypeError(f"'{text}': expected KEY=VALUE, such as training.batch_size=8")
    return text


def require_folder(path: str | Path, argument: str) -> Path:
    """Return the absolute path of a folder that a user named.

    Raises:
        FileNotFoundError: if it is no folder; names the argument.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "no such folder"
        raise FileNotFoundError(f"{argument} '{path}': {what}")
    return folder.resolve()


def place(text: str) -> Path:
    """Return the path of an argument that is not empty."""
    return Path(filled(text))
