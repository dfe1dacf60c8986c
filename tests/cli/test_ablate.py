"""``clipbert ablate``: command lines that can be typed, a real row, and rows that are not run again."""

import json
import shlex

import pytest

from clipbert_mmf.cli import ablate
from clipbert_mmf.cli.main import load_verb, main
from clipbert_mmf.report.ablations import load_ablations


def make_ablation(save, runs, monkeypatch, updates, *more):
    parser, _ = load_verb("ablate")
    arguments = ["table3", "--task", "qa", "--updates", str(updates), "--save", str(save), *more]

    def run_row(self, folder, own, seed=None):
        folder.mkdir(parents=True, exist_ok=True)
        runs.append(folder.name)
        return {"qa_accuracy": 0.5, "seconds": 1.0}

    monkeypatch.setattr(ablate.AblationRun, "run_row", run_row)
    return ablate.AblationRun.from_options(load_ablations(), parser.parse_intermixed_args(arguments))


def test_a_finished_row_is_shown_and_not_run_again_unless_its_options_changed(tmp_path, monkeypatch):
    runs = []
    make_ablation(tmp_path, runs, monkeypatch, 3).run(["lse_*"])
    assert runs == ["lse_N2", "lse_N16"]
    results = make_ablation(tmp_path, runs, monkeypatch, 3).run(["single", "lse_N2"])
    assert runs[2:] == ["single"]
    assert [one.name for one in results if one.ours] == ["single", "lse_N2", "lse_N16"]
    make_ablation(tmp_path, runs, monkeypatch, 4).run(["single"])
    assert runs[3:] == ["single"]


def test_seeds_run_a_row_as_often_and_tell_the_spread(tmp_path, monkeypatch):
    runs = []
    (first, *_) = make_ablation(tmp_path, runs, monkeypatch, 3, "--seeds", "2").run(["single"])
    assert runs == ["single", "single_seed2"] and first.spread == {"qa_accuracy": 0.0, "seconds": 0.0}
    make_ablation(tmp_path, runs, monkeypatch, 3, "--seeds", "2").run(["single"])
    assert len(runs) == 2
    commands = make_ablation(tmp_path, runs, monkeypatch, 3, "--seeds", "2").list_commands(["single"])
    assert [f"training.seed={n}" in commands[name] for n, name in ((1, "single"), (2, "single_seed2"))] == [
        True
    ] * 2


def test_the_number_of_seeds_is_a_number(capsys):
    with pytest.raises(SystemExit):
        main(["ablate", "table3", "--seeds", "0"])
    assert "'0': expected a whole number, at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--rows", "lse_N2", "nothing*"],
            r"--rows nothing*: table3 has no such row; it has single, mean_N2",
        ),
        (
            ["--weights", "brt=x"],
            "--weights brt=x: no row needs 'brt' (did you mean 'bert'?); allowed are bert",
        ),
    ],
)
def test_what_names_no_row_or_weights_is_an_error(words, message, capsys):
    assert main(["ablate", "table3", "--show", *words]) == 1
    assert message in capsys.readouterr().err


def test_show_prints_command_lines_and_runs_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["ablate", "table3", "--show", "--rows", "lse_N2", "--start", "start.pth"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    words = shlex.split(line)
    assert words[0] == "mmf_run" and "model_config.clipbert.fold=lse" in words
    place = "dataset_config.msrvtt_retrieval.processors.train_media_processor.params"
    assert f"{place}.num_clips=2" in words and f"{place}.num_clips=1" not in words
    assert "model_config.clipbert.weights.clipbert=start.pth" in words
    assert main(["ablate", "figure4", "--show", "--json"]) == 0
    commands = json.loads(capsys.readouterr().out)
    assert list(commands) == ["trained", "N1", "N2", "N4", "N8", "N16"]
    assert "run_type=train" in commands["trained"] and "run_type=test" in commands["N2"]
    assert not list(tmp_path.iterdir())


def test_weights_are_given_by_name(capsys):
    assert main(["ablate", "table5", "--show", "--weights", "bert"]) == 1
    assert "--weights bert: expected NAME=FILE" in capsys.readouterr().err


@pytest.mark.timeout(280)
def test_a_row_trains_and_is_tested(corpus, tmp_path, capsys, monkeypatch):
    for name, value in (
        ("OMP_NUM_THREADS", "1"),
        ("HF_HUB_OFFLINE", "1"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ):
        monkeypatch.setenv(name, value)
    section = "dataset_config.msrvtt_qa"
    arguments = ["ablate", "table3", "--task", "qa", "--updates", "2", "--rows", "lse_N2"]
    arguments += ["--save", str(tmp_path), "--json", f"{section}.data_dir={corpus / 'msrvtt'}"]
    arguments += [f"{section}.processors.text_processor.params.tokenizer={corpus / 'tokenizer'}"]
    arguments += ["training.num_workers=0", "training.batch_size=4"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        0 <= found["lse_N2"]["ours"]["qa_accuracy"] <= 1 and found["lse_N2"]["paper"]["qa_accuracy"] == 36.59
    )
    assert found["single"]["ours"] == {} and found["lse_N2"]["ours"]["max_memory_mib"] > 100
    table = (tmp_path / "table3_qa_demo" / "table.md").read_text()
    assert "| lse | 2 |" in table and "not run" in table and "95 % interval, a bootstrap over media" in table
    low, high = found["lse_N2"]["intervals"]["qa_accuracy"]
    assert 0 <= low <= found["lse_N2"]["ours"]["qa_accuracy"] <= high <= 1
