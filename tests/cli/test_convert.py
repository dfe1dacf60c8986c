"""``clipbert convert``: a run as a folder for others, or as weights of the released ClipBERT."""

import torch


def test_a_converted_folder_scores_as_the_run_does(run_verb, read_json, run_of, clip_folder, tmp_path):
    code, out, _ = run_verb("convert", "--model", run_of("match"), "--out", tmp_path / "model")
    assert (code, out) == (0, f"wrote {tmp_path / 'model'}\n")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"README.md", "config.json"} <= names and any(name.endswith(".safetensors") for name in names)
    words = (clip_folder / "a.mp4", "a red circle", "blue")
    expected, found = (
        read_json("score", "--model", model, *words) for model in (run_of("match"), tmp_path / "model")
    )
    assert found == expected


def test_what_is_there_is_replaced_only_when_asked(run_verb, run_of, tmp_path):
    words = ("convert", "--model", run_of("match"), "--out", tmp_path / "model")
    assert [run_verb(*words)[0], run_verb(*words)[0], run_verb(*words, "--replace")[0]] == [0, 1, 0]
    assert f"{tmp_path / 'model'} exists already" in run_verb(*words)[2]


def test_the_released_format_is_a_state_dict_in_one_file(run_verb, run_of, tmp_path):
    words = ("convert", "--model", run_of("match"), "--out", tmp_path / "released.pt", "--to", "released")
    assert run_verb(*words)[0] == 0
    state = torch.load(tmp_path / "released.pt", weights_only=True)
    assert {name.split(".")[0] for name in state} == {"cnn", "transformer"}


def test_a_folder_that_is_no_run_is_refused_in_one_line(run_verb, tmp_path):
    code, out, error = run_verb("convert", "--model", tmp_path, "--out", tmp_path / "model")
    assert (code, out) == (1, "") and "nor the folder of a run" in error and len(error.splitlines()) == 1
