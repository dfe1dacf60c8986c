"""Examples are drawn from the media of the run; what cannot be drawn is said in a sentence."""

from dataclasses import replace

import pytest

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.report.examples import RunMedia, choose_examples, illustrate
from clipbert_mmf.report.run_record import RunRecord
from clipbert_mmf.tasks.examples import Example
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

pytest.importorskip("captum", reason="captum is not installed: pip install captum")


@pytest.fixture()
def run(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / f"{name}.mp4", 24, fps=8)
    section = {"data_dir": str(tmp_path), "media": {"test": ["a", "b"]}}
    config = {"datasets": "quiz", "dataset_config": {"quiz": section}}
    return RunRecord(tmp_path, config, [], [])


def test_a_run_without_predictions_and_a_task_without_examples_show_none(run):
    assert choose_examples(run) == []
    record = {"dataset": "quiz", "task": "pretraining", "item": 0, "media_id": "a", "readable": True}
    assert choose_examples(replace(run, predictions=[record])) == []


def test_an_example_is_drawn_with_what_was_found_instead(run, tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    model, media = ClipBert.from_pretrained(tmp_path / "run"), RunMedia(run)
    example = Example("a", "a red circle", None, "a red circle", "found at rank 2", False, other_id="b")
    shown = illustrate(model, media, example, "grad_cam")
    assert (
        shown["missing"] == "" and len(shown["clips"]) == 3 and shown["other"].startswith("data:image/jpeg")
    )
    assert {word for word, *_ in shown["words"]} == {"a", "red", "circle"}
    part = illustrate(
        model, media, replace(example, segment_sec=[1.0, None], other_segment_sec=[0.0, 1.0]), "grad_cam"
    )
    assert part["missing"] == "" and all(1.0 <= clip["start"] < clip["end"] <= 3.0 for clip in part["clips"])
    gone = illustrate(model, media, replace(example, media_id="gone"), "grad_cam")
    assert "gone" in gone["missing"] and gone["clips"] == []
    long = replace(example, text="what is near a red circle " * 30 + "star", option="star")
    words = [word for word, *_ in illustrate(model, media, long, "grad_cam")["words"]]
    assert words[-1] == "star" and words[0] == "what"
