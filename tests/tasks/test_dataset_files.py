"""The files of a dataset are found, or an error names the key and what to set."""

import pytest

from clipbert_mmf.annotations.sources import AnnotationSource
from clipbert_mmf.annotations.vocabulary import AnswersConfig
from clipbert_mmf.tasks.dataset_config import DatasetConfig
from clipbert_mmf.tasks.dataset_files import find_answers, find_data_dir, find_media
from clipbert_mmf.tasks.datasets import SPECS

SPEC = SPECS["video_text_csv"]


def make_config(**changes):
    source = (AnnotationSource("a.csv"),)
    return DatasetConfig("/data", {"train": source}, {"train": "videos"}, **changes)


def test_a_missing_directory_and_a_missing_store_are_named(tmp_path):
    assert find_data_dir(str(tmp_path), SPEC) == tmp_path.resolve()
    with pytest.raises(FileNotFoundError, match=r"video_text_csv\.data_dir is '/nowhere': no such directory"):
        find_data_dir("/nowhere", SPEC)
    with pytest.raises(FileNotFoundError, match=r"media\.train is 'videos': .* does not exist"):
        find_media(make_config(), tmp_path, SPEC, "train")


def test_one_store_several_stores_and_a_remote_store_are_found(tmp_path):
    for name in ("videos", "more"):
        (tmp_path / name).mkdir()
    config = DatasetConfig("/data", {}, {"train": "videos", "val": ("more", "s3://b/c"), "test": "videos"})
    assert find_media(config, tmp_path, SPEC, "train") == str(tmp_path / "videos")
    assert find_media(config, tmp_path, SPEC, "val") == (str(tmp_path / "more"), "s3://b/c")


def test_a_pattern_of_shards_is_found_wherever_a_store_is(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "00000.tar").write_bytes(b"")
    config = DatasetConfig(
        "/data", {}, {"train": "videos/*.tar", "val": ("videos/00000.tar", "videos/0*.tar")}
    )
    assert find_media(config, tmp_path, SPEC, "train") == str(tmp_path / "videos" / "*.tar")
    assert find_media(config, tmp_path, SPEC, "val")[1] == str(tmp_path / "videos" / "0*.tar")
    with pytest.raises(
        FileNotFoundError, match=r"videos/1\*.tar does not exist; expected .* tar shards such as"
    ):
        find_media(DatasetConfig("/data", {}, {"val": "videos/1*.tar"}), tmp_path, SPEC, "val")


def test_answers_come_from_the_training_split_or_from_a_file(tmp_path):
    (tmp_path / "a.csv").write_text("video,question,answer\nv0,what ?,red\nv1,what ?,red\nv2,what ?,blue\n")
    assert find_answers(make_config(), tmp_path, SPEC) == {"red": 0, "blue": 1}
    frequent = make_config(answers=AnswersConfig(min_count=2))
    assert find_answers(frequent, tmp_path, SPEC) == {"red": 0}
    (tmp_path / "own.json").write_text('["green"]')
    assert find_answers(make_config(answers=AnswersConfig("own.json")), tmp_path, SPEC) == {"green": 0}
