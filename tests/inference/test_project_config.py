"""A released ClipBERT alone, with the YAML of a project: what is missing comes from the defaults, as in MMF."""

import pytest
import torch
import yaml

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.project_config import read_model_description
from clipbert_mmf.inference.settings import RecipeError
from clipbert_mmf.paths import project_dir
from tests.inference.small_run import run_config
from tests.parity import released_format as released

PROJECTS = project_dir() / "clipbert" / "configs"
SIZES = {
    "backbone": {"width": 4},
    "transformer": {
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 4,
        "intermediate_size": 64,
        "vocab_size": 400,
        "max_positions": 32,
    },
}


def write_project(folder, name, changes):
    (folder / name).mkdir(parents=True)
    file = folder / name / "small.yaml"
    file.write_text(
        yaml.safe_dump({"includes": [str(PROJECTS / name / "defaults.yaml")], **changes}), encoding="utf-8"
    )
    return file


@pytest.mark.parametrize(
    ("name", "head", "outputs"), [("msrvtt_retrieval", "match", 2), ("tgif_qa_action", "choose", 1)]
)
def test_a_released_file_alone_answers_with_the_yaml_of_its_project(
    tmp_path, tokenizer_dir, name, head, outputs
):
    state = released.make_state(4, 16, 2, 400, 32, head, outputs)
    torch.save(state, tmp_path / "model_step_1.pt")
    file = write_project(tmp_path, name, {"model_config": {"clipbert": SIZES}})
    model = ClipBert.from_pretrained(tmp_path / "model_step_1.pt", config=file, tokenizer=tokenizer_dir)
    assert model.head_type == head and model.recipe.dataset == name
    assert model.preprocessing.clips.image_size == 448 and model.preprocessing.clips.num_clips == 16
    pixels = released.filled(1, 1, 1, 3, 128, 128, seed=5, spread=127, centre=127.5).to(torch.uint8)
    scores = model.score_frames(pixels, ["a red circle", "two dogs"])
    ids, mask, _ = model.encode_texts(["a red circle", "two dogs"])
    grids = released.encode_frames(state, pixels.flatten(0, 2))[None]
    _, pooled = released.encode_pairs(state, grids.repeat_interleave(2, 0), ids, mask, num_heads=4)
    expected = released.score_pooled(state, pooled)
    torch.testing.assert_close(scores.reshape(-1), expected.reshape(-1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", sorted(folder.name for folder in PROJECTS.iterdir() if (folder / "defaults.yaml").exists())
)
def test_every_project_tells_its_dataset_and_its_model(name):
    if name in ("multitask", "hateful_memes"):
        pytest.skip("several datasets, or one of MMF's")
    config = read_model_description(PROJECTS / name / "defaults.yaml")
    assert (
        config["datasets"] == name and config["model_config"]["clipbert"]["transformer"]["hidden_size"] == 768
    )
    assert config["dataset_config"][name]["processors"]["text_processor"]["params"]["tokenizer"]


def test_a_yaml_that_tells_no_dataset_asks_for_it(tmp_path):
    file = tmp_path / "model.yaml"
    file.write_text("model_config: {clipbert: {fold: mean}}", encoding="utf-8")
    with pytest.raises(RecipeError, match="does not tell its dataset.*--dataset"):
        read_model_description(file)
    assert read_model_description(file, "msrvtt_qa")["datasets"] == "msrvtt_qa"
    with pytest.raises(RecipeError, match=r"'msrvt_qa', which is not registered \(did you mean 'msrvtt_qa'"):
        read_model_description(file, "msrvt_qa")


def test_the_configuration_of_a_run_stays_as_it_is(tmp_path):
    config = run_config(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert read_model_description(file) == config


def test_projects_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = read_model_description("projects/clipbert/configs/msrvtt_retrieval/defaults.yaml")
    assert config["datasets"] == "msrvtt_retrieval"
