"""Options that verbs with a model share: a user's own parts are known through two ways."""

import argparse
import subprocess
import sys

from clipbert_mmf.cli.model_options import add_model_options, load_model
from tests.e2e.running import make_environment
from tests.inference.small_run import make_run

TEXTS = ["a red circle", "two dogs near a man with a square", "blue"]


def test_the_model_that_the_options_name_is_loaded(small_run):
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    model = load_model(parser.parse_args(["--model", str(small_run), "--dataset", "msrvtt_retrieval"]))
    assert model.device.type == "cpu" and model.recipe.dataset == "msrvtt_retrieval"


def test_a_model_with_a_fold_of_the_users_own_is_asked_through_user_dir(
    tmp_path, tokenizer_dir, short_videos
):
    # A fold stays registered, so the package is imported in processes of their own.
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
    command += [str(short_videos / "a.mp4"), *TEXTS]

    def ask(*options, **environment):
        return subprocess.run(
            [*command, *options], capture_output=True, text=True, env=make_environment(**environment)
        )

    assert "first_clip" in config.read_text()
    without = ask()
    assert without.returncode == 1 and "first_clip" in without.stderr and "Traceback" not in without.stderr
    by_option, by_variable = ask("--user-dir", str(package)), ask(MMF_USER_DIR=str(package))
    assert by_option.returncode == 0 and "%" in by_option.stdout, by_option.stderr
    assert by_variable.stdout == by_option.stdout
