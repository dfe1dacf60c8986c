"""``clipbert check-data``: rows and media of a prepared corpus are counted and compared."""

import pytest

from clipbert_mmf.tasks.datasets import SPECS
from clipbert_mmf.tasks.known_counts import KNOWN_COUNTS
from tests.encoded_media import write_video


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "videos").mkdir()
    for number in range(3):
        write_video(tmp_path / "videos" / f"v{number}.mp4", 8)
    rows = [f"v{n}.mp4,a dog,{split}" for n, split in enumerate(("train", "val", "test"))]
    (tmp_path / "annotations.csv").write_text("\n".join(["video,text,split", *rows, "v0,a cat,train"]) + "\n")
    return tmp_path


def test_splits_are_counted_and_missing_media_named(run_verb, read_json, corpus):
    words = ("check-data", "video_text_csv", f"data_dir={corpus}", "task=retrieval")
    found = read_json(*words)
    assert [(one["rows"], one["media"], one["missing"]) for one in found.values()] == [
        (2, 1, []),
        (1, 1, []),
        (1, 1, []),
    ]
    (corpus / "videos" / "v2.mp4").unlink()
    code, out, _ = run_verb(*words)
    assert code == 1 and "test   1 rows, 1 videos, 1 of them not there (such as v2" in out


def test_known_counts_are_compared_and_the_folder_is_asked_for(run_verb, corpus):
    (corpus / "MSR_MC_test.csv").write_text(
        "\tkey\tvid_key\ta1\ta2\ta3\ta4\ta5\tanswer\n0\tret0\tmsr0\ta\tb\tc\td\te\t0\n"
    )
    code, out, _ = run_verb("check-data", "msrvtt_mc", f"data_dir={corpus}")
    assert code == 1 and ("DIFFERS" in out or "not there" in out)
    code, _, error = run_verb("check-data", "msrvtt_mc", "media.test=videos")
    assert code == 1 and "Give data_dir=FOLDER" in error
    code, _, error = run_verb("check-data", "msrvtt_retreival", f"data_dir={corpus}")
    assert code == 1 and "did you mean 'msrvtt_retrieval'" in error


def test_counts_are_of_datasets_that_there_are():
    assert set(KNOWN_COUNTS) <= set(SPECS)
