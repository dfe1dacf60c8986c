"""``clipbert new-dataset``: the files of a dataset of one's own."""

import pytest


def test_the_files_are_written_and_listed(run_verb, read_json, tmp_path):
    code, out, _ = run_verb("new-dataset", "birds", "--out", tmp_path)
    names = ("__init__.py", "configs/dataset.yaml", "configs/train.yaml", "annotations.csv")
    names = (*names, "videos/README.txt", "test_birds.py")
    assert code == 0 and out.splitlines()[: len(names)] == [str(tmp_path / "birds" / name) for name in names]
    assert f"mmf_run config={tmp_path}/birds/configs/train.yaml" in out
    assert all((tmp_path / "birds" / name).is_file() for name in names)
    assert len(read_json("new-dataset", "fish", "--out", tmp_path)) == len(names)


@pytest.mark.parametrize(
    "name, message",
    [
        ("Big.Birds", "expected lower-case letters, digits and underscores"),
        ("taken", "exists already; nothing"),
        ("msrvtt_qa", "which is a dataset of clipbert_mmf; choose another, such as my_msrvtt_qa"),
        ("hateful_memes", "which is a dataset of MMF"),
        ("json", "which is a Python module"),
        ("class", "which is a word of Python"),
    ],
)
def test_a_bad_or_taken_name_writes_nothing(run_verb, tmp_path, name, message):
    (tmp_path / "taken").mkdir()
    code, out, error = run_verb("new-dataset", name, "--out", tmp_path)
    assert (code, out) == (1, "") and message in error and len(error.splitlines()) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["taken"]
