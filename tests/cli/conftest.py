"""Small saved models, one for each kind of head, and three videos, for the tests of the verbs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clipbert_mmf.cli.main import main
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

#: Head -> answers of its vocabulary.
HEADS = {"match": (), "classify": ("red", "blue", "left"), "choose": (), "regress": ()}


@pytest.fixture(scope="session")
def run_of(tmp_path_factory, tokenizer_dir):
    """Return the folder of a run by the type of its head; it is written when first asked for."""
    folder = tmp_path_factory.mktemp("runs")

    def make(head: str, **changes) -> Path:
        name = "_".join([head, *changes])
        if not (folder / name).exists():
            answers = HEADS[head]
            make_run(
                folder / name,
                tokenizer_dir,
                head={"type": head, "num_answers": len(answers) or None},
                **changes,
            )
            if answers:
                vocabulary = {answer: index for index, answer in enumerate(answers)}
                (folder / name / "answers_msrvtt_retrieval.json").write_text(json.dumps(vocabulary))
        return folder / name

    return make


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A folder of three videos, one of them in a folder below it."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "deep").mkdir()
    for number, name in enumerate(["a.mp4", "b.mp4", "deep/c.mp4"]):
        write_video(folder / name, 30 + 10 * number, fps=10)
    return folder


@pytest.fixture
def run_verb(capsys):
    """Run a verb in this process; return its exit code, what it printed, and its errors."""

    def run(*words) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def read_json(run_verb):
    """Run a verb with ``--json``, which must succeed; return what it printed as an object."""

    def run(*words):
        code, out, error = run_verb(*words, "--json")
        assert code == 0, error
        return json.loads(out)

    return run
