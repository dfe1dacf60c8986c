"""Preprocessing is taken from a run, saved, and reads media as the run's evaluation did."""

import json

import pytest

from clipbert_mmf.inference.preprocessing import Preprocessing
from clipbert_mmf.inference.settings import RecipeError
from tests.encoded_media import write_video
from tests.inference.small_run import run_config


@pytest.fixture
def section(tokenizer_dir):
    return run_config(tokenizer_dir)["dataset_config"]["msrvtt_retrieval"]


def test_it_survives_json_and_names_no_setting_of_a_machine(section):
    found = Preprocessing.from_dataset(section, "x")
    values = json.loads(json.dumps(found.to_dict()))
    assert Preprocessing.from_dict(values, "y") == found
    assert found.media == "video" and found.max_text_tokens == 12
    assert not {"backend", "num_threads", "cache_dir", "reader_timeout_sec"} & set(values)


def test_clips_have_the_evaluations_number_size_and_length(section, tmp_path):
    path = write_video(tmp_path / "v.mp4", 40, fps=10)
    clips = Preprocessing.from_dataset(section, "x").read_clips(path)
    assert clips.frames.shape == (3, 2, 3, 64, 64)
    assert (Preprocessing.from_dataset(section, "x").read(path) == clips.frames).all()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"media": "sound"}, "media is 'sound'; allowed are"),
        ({"image_size": None}, "image_size"),
        ({"max_text_tokens": 0}, "max_text_tokens is 0; expected a whole number"),
        ({"num_clisp": 2}, "num_clisp"),
    ],
)
def test_what_is_wrong_in_a_saved_file_is_named(section, changes, message):
    values = {**Preprocessing.from_dataset(section, "x").to_dict(), **changes}
    with pytest.raises(RecipeError, match=message):
        Preprocessing.from_dict(values, "saved.json")


def test_a_processor_of_another_package_is_refused(section):
    section["processors"]["eval_media_processor"]["type"] = "torchvision_transforms"
    with pytest.raises(RecipeError, match=r"eval_media_processor\.type is 'torchvision_transforms'; allowed"):
        Preprocessing.from_dataset(section, "x")
