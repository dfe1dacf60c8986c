"""Texts against videos by the dot product of their embeddings: the symmetric InfoNCE loss of the contrastive head.

The candidates are those of all processes, so that more processes mean more negatives and the same loss as one process.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipbert_mmf.scoring.gathering import gather_rows, gather_with_gradient


def contrastive_loss(
    text_embeddings: Tensor,
    video_embeddings: Tensor,
    scale: Tensor,
    targets: Tensor,
    input_ids: Tensor,
    item_index: Tensor,
    media_index: Tensor,
) -> Tensor:
    """Mean over videos of -log p(own text among texts) and -log p(video among videos of its own texts), halved.

    Only texts that match are candidates: a drawn negative may be the text of another video of the batch. Texts of the
    same medium, and texts of the same words, are all right; of one item that several processes read, one counts.

    Args:
        text_embeddings: ``(B, N, E)`` unit vectors.
        video_embeddings: ``(B, E)`` unit vectors.
        scale: ``(1,)``, multiplies dot products.
        targets: ``(B, N)``, 1 where the text matches the video.
        input_ids: ``(B, N, L)`` int64, L the same in all processes.
        item_index, media_index: ``(B,)`` int64.

    Returns:
        A scalar; 0 with a gradient path where no text matches.

    Raises:
        ValueError: if ``targets`` are not of pairs.
    """
    if targets.shape != text_embeddings.shape[:2]:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}; the contrastive loss needs one for each of the "
            f"{tuple(text_embeddings.shape[:2])} texts: train it on retrieval or pre-training"
        )
    matching = targets.bool()
    of_video = matching.new_zeros(len(targets), int(matching.sum()))
    video_of_text = torch.nonzero(matching)[:, 0]
    of_video[video_of_text, torch.arange(len(video_of_text), device=targets.device)] = True
    own_texts, all_videos = text_embeddings[matching], gather_with_gradient(video_embeddings)
    all_texts = gather_with_gradient(own_texts)
    # Item, medium, words: one message for each side.
    own_videos = torch.stack([item_index, media_index], 1)
    videos = gather_rows(own_videos)
    own_words = torch.cat([own_videos[video_of_text], input_ids[matching]], 1)
    words = gather_rows(own_words)
    if not len(words):
        return (text_embeddings.sum() + video_embeddings.sum() + scale.sum()) * 0.0
    same_words = (own_words[:, None, 2:] == words[:, 2:]).all(-1)
    # Right for a text: videos of its medium, and those of which a text has the same words. For a video likewise.
    right_videos = _join(same_words, words[:, :1] == videos[:, 0]) | (own_words[:, 1:2] == videos[:, 1])
    right_texts = _join(of_video, same_words) | (media_index[:, None] == words[:, 1])
    to_text = _log_share(scale * video_embeddings @ all_texts.T, right_texts, _is_first(words))
    to_video = _log_share(scale * own_texts @ all_videos.T, right_videos, _is_first(videos[:, :1]))
    per_text = to_video / of_video.sum(1)[video_of_text]
    return -(to_text.sum() + per_text.sum()) / (2 * len(targets))


def _join(first: Tensor, second: Tensor) -> Tensor:
    """Return ``(A, C)`` bool of ``(A, B)`` and ``(B, C)``: whether some B goes with both."""
    return first.float() @ second.float() > 0


def _is_first(rows: Tensor) -> Tensor:
    """Return ``(rows,)`` bool: whether no row above is the same."""
    same = (rows[:, None] == rows[None]).all(-1)
    return ~torch.triu(same, diagonal=1).any(0)


def _log_share(logits: Tensor, right: Tensor, counted: Tensor) -> Tensor:
    """Return ``(rows,)`` log of the share of the right candidates in the softmax; 0 for a row without one."""
    logits = logits.float().masked_fill(~counted, -torch.inf)
    right = right & counted
    has_right = right.any(1)
    of_right = logits.masked_fill(~right, -torch.inf)
    share = torch.logsumexp(of_right[has_right], 1) - torch.logsumexp(logits[has_right], 1)
    return logits.new_zeros(len(logits)).masked_scatter(has_right, share)
