"""MMF's layout: shapes, values, and what it cannot hold."""

from dataclasses import replace

import mmf  # noqa: F401
import pytest
import torch

from clipbert_mmf.tasks.layouts import IMAGE_MEAN, IMAGE_STD, to_mmf_layout


def make_fields(clips=1, frames=1, texts=1):
    return {
        "frames": torch.full((clips, frames, 3, 4, 4), 255, dtype=torch.uint8),
        "clip_times_sec": torch.zeros(clips, 2),
        "input_ids": torch.arange(texts * 5).view(texts, 5),
        "input_mask": torch.ones(texts, 5, dtype=torch.int64),
        "segment_ids": torch.zeros(texts, 5, dtype=torch.int64),
        "targets": torch.arange(texts),
        "text_index": torch.arange(texts),
        "item_index": torch.tensor(3),
        "readable": torch.tensor(1),
    }


def test_an_item_has_mmfs_keys_and_shapes():
    item = to_mmf_layout(make_fields())
    assert item["image"].shape == (3, 4, 4) and item["input_ids"].shape == (5,) and item["targets"].dim() == 0
    expected = [(1 - mean) / std for mean, std in zip(IMAGE_MEAN, IMAGE_STD, strict=False)]
    assert item["image"][:, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)
    assert "frames" not in item and "clip_times_sec" not in item and item["item_index"] == 3


@pytest.mark.parametrize(
    "sizes, found",
    [
        ({"clips": 2}, "2 clips of 1 frames and 1 texts"),
        ({"frames": 3}, "1 clips of 3 frames"),
        ({"texts": 5}, "and 5 texts"),
    ],
)
def test_what_it_cannot_hold_is_refused_with_the_keys_to_set(sizes, found):
    with pytest.raises(ValueError, match=f"{found}.*Set num_clips and num_frames"):
        to_mmf_layout(make_fields(**sizes))


def test_a_clipbert_reads_a_batch_of_mmfs_own(tmp_path):
    """The same picture as frames and as MMF's normalised image gives the same scores."""
    from mmf.common.sample import SampleList
    from omegaconf import OmegaConf

    from clipbert_mmf.models.config import ImageNormalizationConfig
    from clipbert_mmf.plugin.model import ClipBertModel
    from tests.network_settings import small_settings

    settings = small_settings(image_normalization={"mean": list(IMAGE_MEAN), "std": list(IMAGE_STD)})
    settings["weights"] = {**settings["weights"], "allow_random": True}
    model = ClipBertModel(OmegaConf.create({**settings, "model": "clipbert"}))
    torch.manual_seed(0)
    model.build()
    model.eval()
    frames = torch.randint(0, 256, (2, 1, 1, 3, 64, 64), dtype=torch.uint8)
    ids = torch.randint(5, 50, (2, 7))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    ours, theirs = SampleList(), SampleList()
    for name, value in (("input_ids", ids), ("input_mask", ids * 0 + 1), ("segment_ids", ids * 0)):
        ours.add_field(name, value[:, None])
        theirs.add_field(name, value)
    ours.add_field("frames", frames)
    theirs.add_field("image", (frames[:, 0, 0].float() / 255 - mean) / std)
    with torch.no_grad():
        torch.testing.assert_close(
            model.forward(theirs)["scores"], model.forward(ours)["scores"], rtol=1e-4, atol=1e-5
        )
        theirs.image = frames[:, 0, 0]
        torch.testing.assert_close(model.forward(theirs)["scores"], model.forward(ours)["scores"])
        theirs.image = theirs.image.float()
        model.settings = replace(model.settings, image_normalization=ImageNormalizationConfig())
        with pytest.raises(ValueError, match="set model_config.clipbert.image_normalization.mean and .std"):
            model.forward(theirs)
