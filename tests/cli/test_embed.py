"""``clipbert embed`` writes unit vectors whose products choose as a search with re-ranking does."""

import json

import numpy as np
import pytest
from safetensors import safe_open

from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.pretrained import ClipBert
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

TEXTS = ["a red circle", "two dogs near a man"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(["a.mp4", "b.mp4"]):
        write_video(folder / name, 30 + 10 * number, fps=10)
    (folder / "broken.mp4").write_bytes(b"nothing of a video")
    return folder


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("contrastive") / "run"
    make_run(folder, tokenizer_dir, contrastive={"weight": 0.1, "size": 8})
    return folder


def test_both_files_hold_the_same_unit_vectors(run_dir, videos, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text(f"{TEXTS[1]}\n\n")
    arguments = ["embed", "--model", str(run_dir), "--json", str(videos), "--texts", TEXTS[0]]
    arguments += ["--texts-file", str(tmp_path / "texts.txt"), "--out"]
    assert main([*arguments, str(tmp_path / "e.npz")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["num_videos"], told["num_texts"], told["size"]) == (2, 2, 8)
    assert list(told["unreadable"]) == [str(videos / "broken.mp4")]
    assert main([*arguments, str(tmp_path / "deep" / "e.safetensors")]) == 0
    arrays = np.load(tmp_path / "e.npz")
    assert arrays["video_files"].tolist() == [str(videos / "a.mp4"), str(videos / "b.mp4")]
    assert arrays["video_keys"].tolist() == ["a", "b"] and len(str(arrays["model_sha256"])) == 64
    assert arrays["unreadable_files"].tolist() == [str(videos / "broken.mp4")]
    assert arrays["text_strings"].tolist() == TEXTS
    assert np.linalg.norm(arrays["videos"], axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert np.linalg.norm(arrays["texts"], axis=1) == pytest.approx([1, 1], abs=1e-5)
    with safe_open(str(tmp_path / "deep" / "e.safetensors"), "np") as file:
        assert json.loads(file.metadata()["text_strings"]) == TEXTS
        for name in ("videos", "texts"):
            np.testing.assert_array_equal(file.get_tensor(name), arrays[name])
        assert file.get_tensor("scale")[0] == pytest.approx(float(arrays["scale"]))


def test_texts_alone_need_no_video(run_dir, tmp_path, capsys):
    assert main(["embed", "--model", str(run_dir), "--out", str(tmp_path / "t.npz"), "--texts", *TEXTS]) == 0
    assert "0 videos and 2 texts of size 8" in capsys.readouterr().out
    assert np.load(tmp_path / "t.npz")["videos"].shape == (0, 8)


def test_a_wrong_text_is_told_before_a_video_is_read(run_dir, videos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ClipBert, "encode", None)
    words = ["embed", "--model", str(run_dir), "--out", str(tmp_path / "x.npz"), str(videos)]
    assert main([*words, "--texts", "a", " "]) == 1
    assert "text 2 of 2 is empty" in capsys.readouterr().err
    (tmp_path / "texts.txt").write_bytes("caf\u00e9".encode("latin-1"))
    assert main([*words, "--texts-file", str(tmp_path / "texts.txt")]) == 1
    assert "texts.txt: 'utf-8' codec can't decode" in capsys.readouterr().err


def test_what_cannot_be_embedded_is_named(run_dir, videos, tmp_path, tokenizer_dir, capsys):
    make_run(tmp_path / "run", tokenizer_dir)
    for arguments, message in (
        (["--model", str(tmp_path / "run"), "--texts", "a"], "model_config.clipbert.contrastive.weight"),
        (["--model", str(run_dir)], "nothing to embed"),
        (["--model", str(run_dir), "--texts", " "], "text 1 of 1 is empty"),
        (["--model", str(run_dir), str(videos / "broken.mp4")], "none of 1 videos can be read"),
    ):
        assert main(["embed", *arguments, "--out", str(tmp_path / "x.npz")]) == 1
        assert message in capsys.readouterr().err
    assert main(["embed", "--model", str(run_dir), "--texts", "a", "--out", "x.csv"]) == 1
    assert "'x.csv' ends in '.csv'; allowed are .npz, .safetensors, .parquet" in capsys.readouterr().err
    assert not (tmp_path / "x.npz").exists()
