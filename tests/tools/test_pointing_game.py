"""The pointing game on the demo corpus: boxes from the frames, and a table from an untrained model."""

import pytest
import torch

from tests.inference.small_run import make_run

pytest.importorskip("captum", reason="captum is not installed: pip install captum")
import pointing_game


def test_a_map_hits_where_its_top_is_in_the_box():
    frame = torch.full((3, 40, 50), 120, dtype=torch.uint8)
    assert pointing_game.find_box(frame) is None
    frame[:, 10:20, 30:45] = torch.tensor([20, 20, 20], dtype=torch.uint8)[:, None, None]
    box = pointing_game.find_box(frame)
    assert box == (10, 20, 30, 45)
    saliency = torch.zeros(40, 50)
    assert pointing_game.points_at(saliency, box) == pytest.approx(150 / 2000)
    saliency[5, 5] = 1.0
    assert pointing_game.points_at(saliency, box) == 0.0
    saliency[19, 44] = 2.0
    assert pointing_game.points_at(saliency, box) == 1.0


def test_it_plays_on_the_demo_corpus(corpus, tmp_path, tokenizer_dir, capsys):
    make_run(tmp_path / "run", tokenizer_dir)
    assert pointing_game.main([str(tmp_path / "run"), "--data", str(corpus / "msrvtt"), "--videos", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("12 frames") and [line.split()[0] for line in lines[1:]] == [
        "grad_cam",
        "occlusion",
        "random",
        "middle",
    ]
