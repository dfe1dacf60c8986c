"""``clipbert score``, ``answer``, ``search``, ``inspect`` and ``check`` on a small run and three videos."""

import json

import pytest

from clipbert_mmf.cli.main import main
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

TEXTS = ["a red circle", "two dogs near a man with a square", "blue"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    (folder / "deep").mkdir()
    for number, name in enumerate(["a.mp4", "b.mp4", "deep/c.mp4"]):
        write_video(folder / name, 30 + 10 * number, fps=10)
    return folder


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("run") / "run"
    make_run(folder, tokenizer_dir)
    return folder


def test_a_model_scores_answers_and_searches(run_dir, tmp_path, videos, capsys):
    model = ["--model", str(run_dir)]
    assert main(["score", *model, str(videos / "a.mp4"), *TEXTS]) == 0
    assert "%" in capsys.readouterr().out
    assert (
        main(["answer", *model, "--json", str(videos / "a.mp4"), "what is it", "--options", "jumps", "turns"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["answer"] in ("jumps", "turns")
    assert (
        main(["search", *model, str(videos), "a red circle", "--top", "2", "--index", str(tmp_path / "i")])
        == 0
    )
    assert len(capsys.readouterr().out.strip().splitlines()) == 2
    assert main(["search", *model, "--json", "--no-index", str(videos), "a red circle"]) == 0
    assert len(json.loads(capsys.readouterr().out)["a red circle"]) == 3
    assert not (videos / ".clipbert_index").exists()


def test_a_folder_without_videos_is_named_with_the_endings(run_dir, tmp_path, capsys):
    assert main(["search", "--model", str(run_dir), str(tmp_path), "a red circle"]) == 1
    assert "holds no videos; looked for " in capsys.readouterr().err


def test_check_and_inspect_report(run_dir, tmp_path, videos, capsys):
    assert main(["inspect", str(run_dir / "best.ckpt")]) == 0
    assert "our own checkpoint" in capsys.readouterr().out
    assert main(["check", str(videos), "--output", str(tmp_path / "check"), "--workers", "1"]) == 0
    assert (tmp_path / "check" / "report.json").is_file()


def test_a_model_with_a_head_of_the_users_own_is_asked_through_user_dir(tmp_path, tokenizer_dir, videos):
    """The package is imported in a process of its own, since a head stays registered."""
    import subprocess
    import sys

    from clipbert_mmf.modules.heads import HEADS
    from tests.e2e.running import make_environment

    package = tmp_path / "own_folds_of_a_user"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from clipbert_mmf.scoring.clips import register_fold\n"
        "register_fold('first_clip', lambda scores: scores[:, 0])\n"
    )
    make_run(tmp_path / "run", tokenizer_dir)
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("fold: lse", "fold: first_clip"))
    (tmp_path / "run" / "best.ckpt").unlink()
    command = [sys.executable, "-m", "clipbert_mmf.cli.main", "score", "--model", str(tmp_path / "run")]
    command += [str(videos / "a.mp4"), *TEXTS]

    def ask(*options, **environment):
        return subprocess.run(
            [*command, *options], capture_output=True, text=True, env=make_environment(**environment)
        )

    assert "first_clip" in config.read_text() and "first_clip" not in HEADS
    without = ask()
    assert without.returncode == 1 and "first_clip" in without.stderr and "Traceback" not in without.stderr
    by_option, by_variable = ask("--user-dir", str(package)), ask(MMF_USER_DIR=str(package))
    assert by_option.returncode == 0 and "%" in by_option.stdout, by_option.stderr
    assert by_variable.stdout == by_option.stdout
