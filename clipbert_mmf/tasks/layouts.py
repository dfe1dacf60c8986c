"""Arrange the fields of an item: in our own layout, or in that of MMF's own image-and-text models.

The item maker made the text tensors and the processor the frames; MMF collates the result.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Normalisation that torchvision's networks, MMF's image encoders among them, were trained with; R, G, B of 0
#: to 1.
IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_TEXT_FIELDS = (
    "input_ids",
    "input_mask",
    "segment_ids",
    "lm_label_ids",
    "targets",
    "text_index",
    "answer_type",
    "option_mask",
)


def keep_layout(fields: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the fields as they are: frames (K, T, 3, L, L), texts (N, L)."""
    return fields


def to_mmf_layout(fields: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the fields that MMF's own models read, for N = K = T = 1.

    Args:
        fields: the fields of one item.

    Returns:
        ``image`` (3, L, L) float32, normalised as torchvision's; ``input_ids``, ``input_mask``,
        ``segment_ids`` (L,); ``targets`` () or (A,); the other fields without their dimension N.

    Raises:
        ValueError: if there is more than one text, clip or frame.
    """
    clips, frames = fields["frames"].shape[:2]
    texts = len(fields["input_ids"])
    if (clips, frames, texts) != (1, 1, 1):
        raise ValueError(
            f"layout: mmf takes one frame and one text an item; found {clips} clips of {frames} frames and "
            f"{texts} texts. "
            f"Set num_clips and num_frames of both media processors to 1 (sampling: middle shows the "
            f"middle), and use a "
            f"task with one text: open-ended questions, VQA, counts"
        )
    image = fields["frames"][0, 0].float() / 255
    image = (image - torch.tensor(IMAGE_MEAN).view(3, 1, 1)) / torch.tensor(IMAGE_STD).view(3, 1, 1)
    rest = {name: value for name, value in fields.items() if name not in ("frames", "clip_times_sec")}
    return {
        "image": image,
        **{name: value[0] if name in _TEXT_FIELDS else value for name, value in rest.items()},
    }


LAYOUTS: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "clipbert": keep_layout,
    "mmf": to_mmf_layout,
}
