"""The demo corpus at tiny size: deterministic, readable, in its owners' formats."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipbert_mmf.annotations import read_annotations, read_keys
from clipbert_mmf.video.decode import read_frames
from clipbert_mmf.video.stores.open import open_store
from demo_corpus.world import ACTS, COLOURS, SHAPES, SIZES, Thing, paint

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_demo_corpus.py"


def generate(out):
    subprocess.run(
        [
            sys.executable,
            str(TOOL),
            "--out",
            str(out),
            "--num-train",
            "10",
            "--num-test",
            "3",
            "--num-images",
            "10",
            "--workers",
            "1",
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return out


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("corpus"))


def test_two_runs_write_the_same_annotations_and_pictures(corpus, tmp_path):
    again = generate(tmp_path / "again")
    files = sorted(path.relative_to(corpus) for path in corpus.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for file in files:
        if file.suffix in (".mp4", ".avi"):
            # An encoder may spend its bits otherwise; what is seen stays.
            first, second = (
                read_frames(root / file, lambda info: [[0.0, info.duration_sec]]) for root in (corpus, again)
            )
            assert (first.float() - second.float()).abs().mean() < 2, file
        else:
            assert (corpus / file).read_bytes() == (again / file).read_bytes(), file


def test_every_video_and_image_can_be_read(corpus):
    videos = open_store(str(corpus / "msrvtt" / "videos"))
    assert len(videos) == 10 + 6
    keys = videos.keys()
    for key in keys:
        assert read_frames(videos.read(key), lambda info: [[0.0, info.duration_sec]], key=key).shape[:2] == (
            1,
            2,
        )
    assert len(open_store(str(corpus / "coco" / "images"))) == 12


def test_test_captions_are_in_no_training_video(corpus):
    train = {r.text for r in read_annotations(corpus / "msrvtt/MSRVTT_data.json", "msrvtt", ["train", "val"])}
    test = list(read_annotations(corpus / "msrvtt/MSRVTT_JSFUSION_test.csv", "msrvtt"))
    assert len(test) == 3 and not train & {r.text for r in test}
    assert not read_keys(corpus / "msrvtt/MSRVTT_train.9k.csv") & {r.media_key for r in test}


def test_images_have_captions_and_the_tokenizer_knows_their_words(corpus):
    from transformers import AutoTokenizer

    records = list(read_annotations(corpus / "coco/captions_train2014.json", "coco_captions"))
    assert len({r.media_key for r in records}) == 10 and len(records) == 20
    tokenizer = AutoTokenizer.from_pretrained(str(corpus / "tokenizer"))
    assert tokenizer.unk_token_id not in tokenizer([r.text for r in records])["input_ids"][0]
    assert json.loads((corpus / "corpus.json").read_text())["vocabulary"] == len(tokenizer)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    out = tmp_path_factory.mktemp("others")
    subprocess.run(
        [
            sys.executable,
            str(TOOL),
            "--out",
            str(out),
            "--num-train",
            "10",
            "--num-test",
            "3",
            "--num-images",
            "10",
            "--workers",
            "1",
            "--corpora",
            "tgif_qa",
            "didemo",
            "activitynet",
            "visual_genome",
            "vqa2",
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return out


def test_the_other_corpora_are_in_their_owners_formats_and_every_medium_is_there(others):
    expected = {
        "tgif_qa/Train_action_question.csv": ("tgif_choice", "tgif_qa/gifs", 40),
        "tgif_qa/Train_transition_question.csv": ("tgif_choice", "tgif_qa/gifs", 80),
        "tgif_qa/Test_count_question.csv": ("tgif_count", "tgif_qa/gifs", 5),
        "tgif_qa/Test_frameqa_question.csv": ("tgif_frameqa", "tgif_qa/gifs", 72),
        "didemo/train_data.json": ("didemo", "didemo/videos", 5),
        "activitynet/val_1.json": ("activitynet", "activitynet/videos", 3),
        "visual_genome/region_descriptions.json": ("visual_genome", "visual_genome/images", None),
    }
    for file, (corpus, media, count) in expected.items():
        records = list(read_annotations(others / file, corpus))
        store = open_store(str(others / media), media="image" if media.endswith("images") else "video")
        assert count is None or len(records) == count, (file, len(records))
        assert all(record.media_key in store for record in records), file
    questions = read_annotations(
        others / "vqa2/v2_OpenEnded_mscoco_train2014_questions.json",
        "vqa2",
        companion=others / "vqa2/v2_mscoco_train2014_annotations.json",
    )
    kinds = {record.answer_type for record in questions}
    assert kinds == {"yes/no", "number", "other"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_one_small_frame_tells_every_act_from_rest_and_from_the_others(shape, size):
    for colour in COLOURS:
        frames = []
        for pose in ("", *ACTS):
            frame = Image.new("RGB", (128, 128), (130, 130, 130))
            paint(frame, Thing(colour, shape, size, "in the middle"), pose=pose)
            frames.append(np.asarray(frame.resize((64, 64), Image.BILINEAR), dtype=np.float32))
        for i in range(len(frames)):
            for j in range(i):
                num_changed = (np.abs(frames[i] - frames[j]).max(-1) > 40).sum()
                assert num_changed >= 20, (colour, ["rest", *ACTS][i], ["rest", *ACTS][j], num_changed)
