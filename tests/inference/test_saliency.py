"""Saliency lies on what decides a score, and the method suits the grid."""

import pytest
import torch

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.saliency import SALIENCY_METHODS, choose_saliency_method
from clipbert_mmf.video.decoded import DecodedVideo
from tests.inference.small_run import make_run

pytest.importorskip("captum", reason="captum is not installed: pip install captum")


@pytest.mark.parametrize("name", sorted(SALIENCY_METHODS))
def test_saliency_lies_on_what_decides_the_score(tmp_path, tokenizer_dir, name):
    """The network is replaced between grid and score by one that sums channel 0, and channel 0 by brightness."""
    make_run(tmp_path / "run", tokenizer_dir)
    model = ClipBert.from_pretrained(tmp_path / "run")
    network = model.network

    class Brightness(torch.nn.Module):
        def forward(self, pictures):
            cells = torch.nn.functional.avg_pool2d(pictures.mean(1, keepdim=True), 16)
            return torch.cat([cells, torch.zeros_like(cells).expand(-1, 15, -1, -1)], 1)

    network.backbone, network.grid_encoder = torch.nn.Identity(), Brightness()
    network.score_clips = lambda visual, *rest: torch.stack(
        [torch.zeros_like(visual[..., 0].sum(2)), visual[..., 0].sum(2)], -1
    )
    network.visual_embedding = torch.nn.Sequential(torch.nn.Flatten(2), _Transpose())
    frames = torch.full((20, 64, 48, 3), 40, dtype=torch.uint8)
    frames[:, 32:48, 16:32] = 255
    clips = model.preprocessing.read_clips(DecodedVideo(frames, fps=5))
    pictures, told = clips.frames.float(), []

    class Score(torch.nn.Module):
        def forward(self, pixels):
            return network.score_clips(network.encode_clips(pixels.view(1, 3, 2, 3, 64, 64)))[0, :, 1]

    saliency = SALIENCY_METHODS[name](
        Score(), network, pictures, lambda done, total: told.append((done, total))
    )
    assert saliency.shape[:2] == (3, 2) and float(saliency.min()) >= 0
    cells = torch.nn.functional.adaptive_avg_pool2d(saliency.flatten(0, 1), 4).flatten(1)
    assert set(cells.argmax(1).tolist()) == {2 * 4 + 1}
    if name == "occlusion":
        assert [done for done, _ in told] == list(range(told[0][1]))
        assert float(saliency[..., 49:].max()) == 0.0  # what pads the frames is not covered


class _Transpose(torch.nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


def test_a_grid_too_coarse_to_point_gets_occlusion():
    assert [choose_saliency_method(None, cells) for cells in (2, 3, 4, 7)] == [
        "occlusion",
        "occlusion",
        "grad_cam",
        "grad_cam",
    ]
    assert choose_saliency_method("grad_cam", 2) == "grad_cam"
    with pytest.raises(ValueError, match="saliency method is 'warm'; allowed are grad_cam, occlusion"):
        choose_saliency_method("warm", 2)
