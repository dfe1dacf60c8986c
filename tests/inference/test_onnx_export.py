"""The graphs give the model's scores for any number of videos, clips, pairs and tokens; what cannot be is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from clipbert_mmf.inference.conversion import convert_weights
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.weights.export import ExportError
from tests.encoded_media import write_video
from tests.inference.small_run import load_sharp, make_run

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


def load_graphs(folder: Path):
    return [runtime.InferenceSession(str(folder / f"{name}.onnx")) for name in ("encoder", "scorer")]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("onnx") / "run"
    make_run(folder, tokenizer_dir)
    load_sharp(folder).save_pretrained(folder.parent / "model")
    return folder.parent / "model"


def test_a_folder_that_is_used_as_its_card_says(run_dir, tmp_path, monkeypatch):
    out = convert_weights(run_dir, tmp_path / "onnx", to="onnx")
    model = ClipBert.from_pretrained(run_dir)
    video = write_video(tmp_path / "a.mp4", 40)
    names = {"frames": model.preprocessing.read(video)[None].numpy()}
    monkeypatch.chdir(out)
    (code,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    exec(code, names)
    wanted = model.score(video, ["a text", "another"])
    scores, clips = names["scores"], names["clip_scores"]
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], wanted.scores, rtol=1e-3, atol=1e-4)
    by_clip = [clip.scores for clip in wanted.clips]
    np.testing.assert_allclose((clips[..., 1] - clips[..., 0]).T, by_clip, rtol=1e-3, atol=1e-4)
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(ValueError, match="holds ONNX graphs"):
        ClipBert.from_pretrained(out)
    # Other numbers of videos, clips, pairs and tokens, one text padded.
    encoder, scorer = load_graphs(out)
    network = model.network
    for videos, clips, pairs, length in ((3, 5, 4, 12), (1, 1, 1, 2)):
        frames = torch.randint(0, 256, (videos, clips, 2, 3, 64, 64), dtype=torch.uint8)
        tokens = {
            "videos": torch.arange(pairs) % videos,
            "input_ids": torch.randint(5, 60, (pairs, length)),
            "input_mask": torch.ones(pairs, length, dtype=torch.int64),
            "segment_ids": torch.zeros(pairs, length, dtype=torch.int64),
        }
        tokens["input_mask"][0, 2:] = 0
        (visual,) = encoder.run(None, {"frames": frames.numpy()})
        given = {name: value.numpy() for name, value in tokens.items()}
        found = scorer.run(["clip_scores"], {"visual": visual, **given})[0]
        with torch.no_grad():
            wanted = network.score_clips(network.encode_clips(frames), **tokens)
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3, atol=1e-4)


def test_clips_that_are_read_together_export_for_any_number_of_pairs(tokenizer_dir, tmp_path):
    make_run(tmp_path / "run", tokenizer_dir, clip_fusion="concat")
    convert_weights(tmp_path / "run", tmp_path / "onnx", to="onnx")
    scorer = load_graphs(tmp_path / "onnx")[1]
    assert all(isinstance(given.shape[0], str) for given in scorer.get_inputs())


def test_a_part_that_cannot_be_exported_is_named_and_nothing_is_left(run_dir, tmp_path, monkeypatch):
    class Undecided(nn.Module):
        def forward(self, pooled):
            return pooled[:, :2] * (1.0 if float(pooled.sum()) > 0 else 2.0)

    model = ClipBert.from_pretrained(run_dir)
    model.network.head = Undecided()
    monkeypatch.setattr(ClipBert, "from_pretrained", lambda *_, **__: model)
    with pytest.raises(
        ExportError, match="head 'match' or fold 'lse' of this model cannot be exported to ONNX"
    ):
        convert_weights(run_dir, tmp_path / "out", to="onnx")
    assert not list(tmp_path.glob("out*"))
