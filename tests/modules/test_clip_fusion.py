"""Early and late fusion of clips: the tokens that are encoded together."""

import torch

from clipbert_mmf.modules.clip_fusion import CLIP_FUSIONS


def test_fold_encodes_every_clip_alone_and_concat_all_at_once():
    visual = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    assert torch.equal(CLIP_FUSIONS["fold"](visual), visual)
    joined = CLIP_FUSIONS["concat"](visual)
    assert joined.shape == (2, 1, 12, 5)
    assert torch.equal(joined[1, 0, 2 * 4 + 3], visual[1, 2, 3])
