"""Fixtures shared by all tests: a real tokenizer, and the demo corpus at tiny size."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browsing import open_browser

ROOT = Path(__file__).resolve().parent.parent

# Which library multiplies is measured elsewhere; tests and the processes they start round alike on every machine.
os.environ.setdefault("CLIPBERT_MMF_PRODUCTS", "mkl")

WORDS = (
    "a large small red green blue yellow circle square triangle star on the left right top bottom then two "
    "three "
    "what color shape is it how many moves jumps turns black white man dog runs with near of and in"
)


def leave_real_time() -> None:
    """Restore the normal priority: SVT-AV1 makes root's real-time, and children then starve each other."""
    for thread in map(int, os.listdir("/proc/self/task") if hasattr(os, "sched_getscheduler") else ()):
        with contextlib.suppress(ProcessLookupError):
            if os.sched_getscheduler(thread) != os.SCHED_OTHER:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(autouse=True)
def normal_priority():
    """Undo what an encoder did to the priority, before a test and after it."""
    leave_real_time()
    yield
    leave_real_time()


@pytest.fixture(autouse=True)
def own_messages():
    """Keep messages of the package readable by ``caplog``: MMF's release takes them over when it runs in-process."""
    ours = logging.getLogger("clipbert_mmf")
    before = ours.level, ours.propagate, list(ours.handlers)
    yield
    ours.setLevel(before[0])
    ours.propagate, ours.handlers = before[1], before[2]


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory):
    """Directory of a real WordPiece tokenizer whose vocabulary is the same in every run.

    A trained vocabulary is not: the tokenizers library breaks its ties by the order of a hash table.
    """
    from transformers import BertTokenizerFast

    directory = tmp_path_factory.mktemp("tokenizer")
    words = sorted(set(re.findall(r"\w+|[^\w\s]", WORDS.lower())))
    letters = sorted(set("".join(words)))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = dict.fromkeys([*special, *letters, *[f"##{letter}" for letter in letters], *words])
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast.from_pretrained(str(directory)).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """The demo corpus at tiny size; tests that damage it work on a copy."""
    out = tmp_path_factory.mktemp("corpus")
    subprocess.run(
        [
            sys.executable,
            str(ROOT / "tools" / "make_demo_corpus.py"),
            "--out",
            str(out),
            "--num-train",
            "20",
            "--num-test",
            "7",
            "--num-images",
            "24",
            "--workers",
            "1",
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return out


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium, shared by the tests of pages."""
    driver = open_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()
