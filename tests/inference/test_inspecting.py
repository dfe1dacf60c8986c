"""The model that a file of weights is compared with.

The given one, its own run's, or the paper's with its head.
"""

import torch

from clipbert_mmf.inference.inspecting import inspect_weights
from tests.inference.small_run import make_run


def test_a_checkpoint_fills_its_own_run_completely(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    for name in ("best.ckpt", "clipbert_final.pth"):
        assert inspect_weights(tmp_path / "run" / name).report.is_complete


def test_another_configuration_shows_what_does_not_fit(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    make_run(tmp_path / "other", tokenizer_dir, head={"type": "classify", "num_answers": 7})
    report = inspect_weights(tmp_path / "run" / "best.ckpt", tmp_path / "other" / "config.yaml").report
    assert not report.is_complete and any("head.output" in name for name in report.wrong_shape)


def test_a_file_alone_is_compared_with_the_papers_model(tmp_path, tokenizer_dir):
    make_run(tmp_path / "run", tokenizer_dir)
    state = torch.load(tmp_path / "run" / "clipbert_final.pth", weights_only=True)
    torch.save(state, tmp_path / "alone.pth")
    report = inspect_weights(tmp_path / "alone.pth").report
    assert report.wrong_shape and not report.is_complete
