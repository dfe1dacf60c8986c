"""The options that verbs with a model share, and the model they load."""

import argparse
import re
import subprocess
import sys

import pytest

from clipbert_mmf.cli.arguments.shared import add_model_options
from clipbert_mmf.cli.model_options import load_model
from clipbert_mmf.inference.pretrained import ClipBert
from tests.e2e.running import make_environment
from tests.inference.small_run import make_run, run_config

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


@pytest.mark.parametrize(
    "words, message",
    [
        (["score", "VIDEO", " "], "texts are [' ']"),
        (["score", "none.mp4", "blue"], "no file none.mp4"),
        (["score", "VIDEO", "blue", "--tokenizer", "a/b/c"], "--tokenizer is 'a/b/c': no such directory"),
        (["convert", "--out", "x", "--tokenizer", "a/b/c"], "--tokenizer is 'a/b/c': no such directory"),
        (["answer", "VIDEO", ""], "the question is empty"),
        (["answer", "none.mp4", "what"], "no file none.mp4"),
        (["search", "none", "blue"], "'none': no such index or folder"),
        (["search", "VIDEO", "blue"], "is a file; give the folder it is in"),
        (["search", "FOLDER", " "], "texts are [' ']"),
        (["embed", "none", "--out", "x.npz"], "'none': no such file or folder"),
        (["embed", "--texts-file", "none", "--out", "x.npz"], "--texts-file none: no such file"),
        (["demo", "--videos", "none"], "--videos 'none': no such folder"),
        (["demo", "--videos", "VIDEO"], "it is a file"),
        (["demo", "--index", "none"], "'none' is no index"),
        (["compare-precision", "--media", "none", "--texts", "none"], "--texts none: no such file"),
        (["push", "--repo", "a b"], "'a b' is no name of a repository"),
    ],
)
def test_a_wrong_argument_is_told_before_the_model_is_loaded(
    words, message, run_verb, run_of, clip_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ClipBert, "from_pretrained", None)
    places = {"VIDEO": clip_folder / "a.mp4", "FOLDER": clip_folder}
    code, _, error = run_verb(*(places.get(word, word) for word in words), "--model", run_of("match"))
    assert code == 1 and message in error and len(error.splitlines()) == 1


def test_a_pre_training_run_is_named_with_what_trains_it_further(
    run_verb, tokenizer_dir, clip_folder, tmp_path, caplog
):
    config = run_config(tokenizer_dir, head={"type": "pretrain"})
    section = config["dataset_config"]["msrvtt_retrieval"]["processors"]
    section["eval_media_processor"] = {"type": "clipbert_image", "params": {"image_size": 64}}
    make_run(tmp_path / "run", tokenizer_dir, config)
    for words, message in (
        (["search", clip_folder, "blue"], "it holds videos, and this model reads images"),
        (["score", clip_folder / "a.mp4", "blue"], "it is a video, and this model reads images"),
    ):
        code, _, error = run_verb(*words, "--model", tmp_path / "run")
        assert code == 1 and message in error
        told = f"is a pre-training run: .* clipbert train --from {tmp_path / 'run'} --data"
        assert re.search(told, caplog.text)


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
