"""The options that verbs with a model share, and the model they load."""

import argparse
import subprocess
import sys

from clipbert_mmf.cli.model_options import add_model_options, load_model
from tests.e2e.running import make_environment
from tests.inference.small_run import make_run

TEXTS = ["a red circle", "two dogs near a man with a square", "blue"]


def parse(*words):
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    return parser.parse_args([str(word) for word in words])


def test_a_checkpoint_that_lies_alone_is_loaded_with_its_config(run_of, tmp_path):
    run = run_of("regress")
    alone = tmp_path / "weights.pth"
    alone.write_bytes((run / "clipbert_final.pth").read_bytes())
    model = load_model(parse("--model", alone, "--config", run / "config.yaml"))
    assert model.head_type == "regress"


def test_options_have_these_defaults():
    options = parse("--model", "m")
    assert (options.device, options.config, options.dataset, options.json) == ("cpu", None, None, False)


def test_a_model_with_a_fold_of_the_users_own_is_asked_through_user_dir(tmp_path, tokenizer_dir, clip_folder):
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
    command += [str(clip_folder / "a.mp4"), *TEXTS]

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
