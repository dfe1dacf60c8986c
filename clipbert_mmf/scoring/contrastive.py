"""Compute the symmetric InfoNCE loss of the contrastive head from embeddings of texts and videos.

The candidates are those of all processes, so that several processes have the loss of one.
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
    """Return the mean over videos of -log p(own text among texts) and -log p(video among videos of its texts), halved.

    Only matching texts are candidates: a drawn negative may be the text of another video of the batch. Texts
    of the same medium and texts with the same words are all correct. An item that several processes read
    counts once.

    Args:
        text_embeddings: ``(B, N, E)`` unit vectors.
        video_embeddings: ``(B, E)`` unit vectors.
        scale: ``(1,)``, multiplies the dot products.
        targets: ``(B, N)``, 1 where the text matches the video.
        input_ids: ``(B, N, L)`` int64, L the same in all processes.
        item_index: ``(B,)`` int64, unique in the split.
        media_index: ``(B,)`` int64, the same for items of one medium.

    Returns:
        A scalar; 0 with a gradient path where no text matches.

    Raises:
        ValueError: if ``targets`` has no row per video and column per text.
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
    # Correct for a text: videos of its medium, and videos that have a text with the same words. For a video
    # likewise.
    correct_videos = _join(same_words, words[:, :1] == videos[:, 0]) | (own_words[:, 1:2] == videos[:, 1])
    correct_texts = _join(of_video, same_words) | (media_index[:, None] == words[:, 1])
    to_text = _log_share(scale * video_embeddings @ all_texts.T, correct_texts, _is_first(words))
    to_video = _log_share(scale * own_texts @ all_videos.T, correct_videos, _is_first(videos[:, :1]))
    per_text = to_video / of_video.sum(1)[video_of_text]
    return -(to_text.sum() + per_text.sum()) / (2 * len(targets))


def _join(first: Tensor, second: Tensor) -> Tensor:
    """Return ``(A, C)`` bool: whether some B goes with both, from ``(A, B)`` and ``(B, C)`` bool."""
    return first.float() @ second.float() > 0


def _is_first(rows: Tensor) -> Tensor:
    """Return ``(rows,)`` bool: whether no row above is the same."""
    same = (rows[:, None] == rows[None]).all(-1)
    return ~torch.triu(same, diagonal=1).any(0)


def _log_share(logits: Tensor, correct: Tensor, counted: Tensor) -> Tensor:
    """Return ``(rows,)``: the log of the correct candidates' share in the softmax.

    0 for a row without one.
    """
    logits = logits.float().masked_fill(~counted, -torch.inf)
    correct = correct & counted
    has_correct = correct.any(1)
    correct_logits = logits.masked_fill(~correct, -torch.inf)
    share = torch.logsumexp(correct_logits[has_correct], 1) - torch.logsumexp(logits[has_correct], 1)
    return logits.new_zeros(len(logits)).masked_scatter(has_correct, share)
