"""A trained model on a card answers as it does on a CPU, in Python and through the command line."""

from __future__ import annotations

import json

import pytest
import torch

from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.pretrained import ClipBert
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

TEXTS = ["a red circle", "two dogs near a man", "blue"]


@pytest.fixture(scope="module")
def run(tokenizer_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_run(folder, tokenizer_dir)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", 30, fps=10)


def test_scores_of_a_video_are_those_of_a_cpu(device, run, video):
    here, there = (ClipBert.from_pretrained(run, device=name) for name in ("cpu", device))
    assert there.device.type == device.type
    expected, found = here.score(video, TEXTS), there.score(video, TEXTS)
    assert found.scores == pytest.approx(expected.scores, abs=1e-4)


def test_the_command_line_scores_on_a_card(device, run, video, capsys):
    printed = []
    for name in ("cpu", device.type):
        assert main(["score", "--model", str(run), "--device", name, "--json", str(video), *TEXTS]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert printed[1]["scores"] == pytest.approx(printed[0]["scores"], abs=1e-4)


def test_evidence_is_computed_on_a_card(device, run, video):
    evidence = ClipBert.from_pretrained(run, device=device).describe_evidence(video, TEXTS[0])
    assert evidence.clip_scores.isfinite().all() and evidence.saliency.isfinite().all()


def test_search_reads_a_folder_on_a_card(device, run, video):
    hits = ClipBert.from_pretrained(run, device=device).search(TEXTS[:1], video.parent)
    assert [hit.video for hit in hits[TEXTS[0]]] == [str(video)]


def test_a_card_that_is_not_there_is_named(card, run):
    count = torch.cuda.device_count()
    with pytest.raises(ValueError, match=f"device is 'cuda:{count}', and there are {count} cards"):
        ClipBert.from_pretrained(run, device=f"cuda:{count}")
