"""The table of verbs: help without PyTorch, errors in one line, a user's own parts."""

import os
import re
import resource
import subprocess
import sys

import pytest
import yaml

from clipbert_mmf.cli.main import VERBS, load_verb, main
from clipbert_mmf.version import __version__
from tests.e2e.running import make_environment
from tests.inference.small_run import make_run, run_config

WORDS = ([], ["--help"], ["-h"], ["--version"])


def test_every_verb_of_the_package_is_in_the_table():
    assert set(VERBS) >= {
        *("score", "answer", "search", "embed", "demo", "check", "inspect", "convert", "report", "evaluate"),
        *("predict", "build-store", "ablate", "compare", "new-dataset"),
    }


@pytest.mark.parametrize("words", WORDS)
def test_help_and_version_answer_without_torch_in_half_a_second(words):
    code = (
        "import sys; from clipbert_mmf.cli.main import main; status = main(); "
        "sys.exit(9 if {'torch', 'mmf', 'numpy', 'omegaconf'} & set(sys.modules) else status)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=make_environment()
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    expected = [__version__] if words == ["--version"] else VERBS
    assert all(word in done.stdout for word in expected)


def test_arguments_need_no_slow_library():
    code = (
        "import sys; from clipbert_mmf.cli.main import VERBS, load_verb;"
        "[load_verb(name) for name in VERBS];"
        "slow = {'torch', 'numpy', 'omegaconf', 'av', 'transformers', 'mmf'};"
        "print(*sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=make_environment()
    )
    assert done.stdout.strip() == "", done.stderr


def find_choices(verb: str, option: str) -> list[str]:
    parser, _ = load_verb(verb)
    found = next(action for action in parser._actions if option in (*action.option_strings, action.dest))
    return sorted(found.choices or ())


def test_choices_that_stand_in_the_arguments_are_those_of_the_tables():
    from clipbert_mmf.inference import conversion, precision, saliency
    from clipbert_mmf.library import building, searching
    from clipbert_mmf.report.ablations import load_ablations
    from clipbert_mmf.report.reproduction import load_reproduction
    from clipbert_mmf.tasks import TASKS
    from clipbert_mmf.video.stores import reencode, writers

    ablations = load_ablations()
    for verb, option, table in (
        ("build-store", "--to", writers.WRITERS),
        ("convert", "--to", conversion.TARGETS),
        ("report", "--saliency", saliency.SALIENCY_METHODS),
        ("demo", "--saliency", saliency.SALIENCY_METHODS),
        ("compare-precision", "--precision", precision.PRECISIONS),
        ("index", "--nearest", building.NEAREST),
        ("train", "--task", [name for name, task in TASKS.items() if task.recipe]),
        ("reproduce", "recipe", load_reproduction().rows),
        ("ablate", "table", ablations.tables),
        ("ablate", "--corpus", ablations.corpora),
        ("ablate", "--task", ablations.tasks),
    ):
        assert find_choices(verb, option) == sorted(table), (verb, option)
    parser, _ = load_verb("build-store")
    assert (parser.get_default("gop"), parser.get_default("crf")) == (
        reencode.Encoding.gop,
        reencode.Encoding.crf,
    )
    assert f"default: {searching.RERANK_TOP_K} of an index" in " ".join(
        load_verb("search")[0].format_help().split()
    )
    assert f"{building.EXACT_BYTES >> 20} MiB" in " ".join(load_verb("index")[0].format_help().split())


def test_no_verb_waits_for_a_library_that_it_may_not_need():
    code = (
        "import importlib, sys; from clipbert_mmf.cli.main import VERBS;"
        "[importlib.import_module('clipbert_mmf.cli.' + verb.module) for verb in VERBS.values()];"
        "print(*sorted({'torchvision', 'torch._dynamo', 'transformers', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=make_environment()
    )
    assert done.stdout.strip() == "", done.stderr


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_has_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert " ".join(VERBS[name].about.split()[1:3]) in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "name", ["score", "answer", "search", "embed", "demo", "convert", "compare-precision"]
)
def test_verbs_with_a_model_take_the_same_options(name):
    parser, _ = load_verb(name)
    given = {option for action in parser._actions for option in action.option_strings}
    assert given >= {"--model", "--device", "--config", "--dataset", "--user-dir", "--json"}


def test_a_misspelt_verb_gets_the_nearest_name(capsys):
    assert main(["serach", "x"]) == 2
    error = capsys.readouterr().err
    assert "no verb 'serach' (did you mean 'search'?)" in error and len(error.splitlines()) == 1


def test_a_wrong_command_line_ends_with_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["score", "--model", "m"])
    assert ended.value.code == 2 and "video" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["score", "--model", "nowhere/none.ckpt", "v.mp4", "text"],
            "clipbert score: model 'nowhere/none.ckpt'",
        ),
        (["inspect", "nowhere.pth"], "clipbert inspect: .*nowhere.pth"),
        (["check", "nowhere"], "clipbert check: .*nowhere"),
        (["convert", "--model", "nowhere/none.ckpt", "--out", "x"], "clipbert convert: model 'nowhere"),
        (["evaluate", "nowhere.json"], "clipbert evaluate: .*nowhere.json"),
        (["report", "nowhere"], "clipbert report: run 'nowhere': no such folder"),
        (["predict", "nowhere"], "clipbert predict: run 'nowhere': no such folder"),
        (["build-store", "nowhere", "x"], "clipbert build-store: .*nowhere"),
        (["inspect", "x.pth", "--user-dir", "nowhere"], "clipbert inspect: user package 'nowhere': expected"),
    ],
)
def test_an_error_is_one_line_and_status_1(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert re.match(message, error) and len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [["score", "--modle", "x"], ["report", "run", "--exmaples=3"]])
def test_a_misspelt_option_gets_the_nearest_name(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert re.search(r"no option '--\w+' \(did you mean '--(model|examples)'\?\)", capsys.readouterr().err)


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["search", "--model", "m", "--index", "", "clips", "x"],
            "--index is empty; give a value, or leave it out",
        ),
        (["search", "--model", "m", "--index=", "clips", "x"], "--index is empty"),
        (["search", "--model", "m", "", "x"], "argument INDEX: it is empty"),
        (["check", ""], "argument store: it is empty"),
        (["search", "--top", "3", "--model", "m", "--top", "1", "c", "x"], "--top is given more than once"),
        (["search", "--mod", "m", "--model=n", "c", "x"], "--model is given more than once"),
        (
            ["report", "run", "--examples", "-1"],
            "argument --examples: '-1': expected a whole number, at least 0",
        ),
        (["check", "c", "--workers", "0"], "argument --workers: '0': expected a whole number, at least 1"),
        (["check", "c", "--timeout", "nan"], "argument --timeout: 'nan': expected a number above 0"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_option(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and message in error and "Traceback" not in error


def test_a_text_that_is_no_utf8_and_a_card_that_is_not_there_are_told(run_of, clip_folder, run_verb):
    words = ["--model", run_of("match"), clip_folder / "a.mp4"]
    code, _, error = run_verb("score", *words, os.fsdecode(b"a \xff man"))
    assert (code, error) == (1, "clipbert score: the text 'a \\udcff man' is not UTF-8; type it in UTF-8\n")
    code, _, error = run_verb("score", *words, "a man", "--device", "cuda:99")
    assert (
        code == 1 and error.startswith("clipbert score: device is 'cuda:99', and ") and error.count("\n") == 1
    )
    code, _, error = run_verb("score", *words, "a man", "--device", "gpu")
    assert error == "clipbert score: device is 'gpu'; expected cpu, cuda, or cuda:0 for the first card\n"


@pytest.mark.parametrize("verb", ["report", "predict", "score"])
def test_the_folder_of_a_run_of_0_1_is_refused(verb, tmp_path, tokenizer_dir, capsys):
    config = run_config(tokenizer_dir)
    make_run(tmp_path / "run", tokenizer_dir, config)
    del config["model_config"]["clipbert"]["backbone"]["type"]
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    words = ["--model", "run", "--config", "run/config.yaml", "a.mp4", "red"] if verb == "score" else ["run"]
    assert main([verb, *(str(tmp_path / word) if "run" in word else word for word in words)]) == 1
    assert "is of a run of clipbert_mmf 0.1" in capsys.readouterr().err
