"""A model is found as a folder, a run, a checkpoint, or a name."""

import pytest

from clipbert_mmf.inference.settings import RecipeError
from clipbert_mmf.inference.sources import find_model, is_saved_folder, read_run
from tests.inference.small_run import make_run


@pytest.fixture
def run_dir(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    return tmp_path / "run"


def test_a_run_gives_its_best_checkpoint_and_then_the_final_weights(run_dir):
    assert read_run(run_dir).checkpoint.path.name == "best.ckpt"
    assert not is_saved_folder(run_dir)
    (run_dir / "best.ckpt").unlink()
    found = read_run(run_dir)
    assert found.checkpoint.path.name == "clipbert_final.pth" and found.folder == run_dir
    assert found.config_place == str(run_dir / "config.yaml")


def test_weights_without_a_configuration_ask_for_one(run_dir, tmp_path):
    alone = tmp_path / "alone" / "clipbert_final.pth"
    alone.parent.mkdir()
    alone.write_bytes((run_dir / "clipbert_final.pth").read_bytes())
    with pytest.raises(RecipeError, match=r"no config\.yaml lies beside it"):
        read_run(alone)
    assert read_run(alone, run_dir / "config.yaml").config["model"] == "clipbert"


def test_a_folder_without_a_checkpoint_is_named_with_those_looked_for(tmp_path):
    with pytest.raises(RecipeError, match=r"it has none of best\.ckpt, clipbert_final\.pth, current\.ckpt"):
        read_run(tmp_path)


def test_a_path_that_is_no_name_of_the_hub_is_not_looked_for_there(tmp_path):
    for location in (tmp_path / "none", "model.pth", "a/b/c"):
        with pytest.raises(FileNotFoundError, match="no such file or folder$"):
            find_model(location)
