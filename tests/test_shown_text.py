"""Nothing that a terminal would obey reaches it from the name of a file or a text."""

import json
import shutil

import pytest

from clipbert_mmf.cli.main import main
from clipbert_mmf.shown_text import escape_cell, escape_json, escape_text
from clipbert_mmf.video.errors import DecodeError
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

EVIL = "a\x1b[31m\nb\x9b2J\u202ec"


def test_control_characters_are_written_out_and_others_stay():
    assert escape_text(EVIL) == r"a\x1b[31m\nb\x9b2J\u202ec" and escape_text("žluť 狗") == "žluť 狗"
    assert escape_text("a\nb", keeps="\n") == "a\nb" and escape_text("x\udce9") == r"x\udce9"
    assert json.loads(escape_json(json.dumps({EVIL: 1}, ensure_ascii=False, indent=1))) == {EVIL: 1}
    assert str(DecodeError("x", EVIL, EVIL)) == f"'{escape_text(EVIL)}' in {escape_text(EVIL)}: x"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mp4", 10, fps=10)
    shutil.copy(folder / "a.mp4", folder / f"{EVIL}.mp4")
    (folder / f"{EVIL} broken.mp4").write_bytes(b"no video" * 20)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["score", "a.mp4", "fine", EVIL],
        ["score", f"{EVIL} broken.mp4", "fine"],
        ["score", f"{EVIL} none.mp4", "fine"],
        ["search", "", EVIL, "fine", "--no-index"],
        ["search", "", EVIL, "fine", "--no-index", "--json"],
        ["check", "", "--output", "OUT"],
        ["build-store", "", "OUT"],
        [EVIL],
    ],
)
def test_no_verb_prints_them_raw(videos, tokenizer_dir, tmp_path, capfd, words):
    if words[0] in ("score", "search"):
        make_run(tmp_path / "run", tokenizer_dir)
        words = [words[0], "--model", str(tmp_path / "run"), str(videos / words[1]), *words[2:]]
    elif len(words) > 1:
        words = [
            words[0],
            str(videos),
            *[str(tmp_path / "out") if word == "OUT" else word for word in words[2:]],
        ]
    main(words)
    for text in capfd.readouterr():
        assert not [text for letter in text if letter in "\x1b\x9b\u202e"]
        # Only the tail of the name could stand at the start of a line.
        assert not [line for line in text.splitlines() if line.startswith(("b2J", "b\\x9b"))]


def test_a_cell_is_no_formula_and_a_number_stays_one():
    given = ["=1+1", "+a", "-4wsu", "@x", "\tx", "-1.5e-3", "video=1", "", "+3"]
    assert [escape_cell(cell) for cell in given] == ["'=1+1", "'+a", "'-4wsu", "'@x", "'\tx", *given[5:]]
