"""ClipBERT as plain PyTorch: received parts, one data flow, no configuration."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clipbert_mmf.modules.backbones.grid_resnet import GridBackbone, GridEncoder
from clipbert_mmf.modules.clip_fusion import CLIP_FUSIONS
from clipbert_mmf.modules.contrastive import ContrastiveHead
from clipbert_mmf.modules.cross_encoder import CrossEncoder
from clipbert_mmf.modules.embedding import TextEmbedding, VisualEmbedding
from clipbert_mmf.scoring.clips import fold_clips
from clipbert_mmf.scoring.objectives import count_words
from clipbert_mmf.scoring.ranking import rate_options
from clipbert_mmf.shapes import IGNORED_TOKEN


class ClipBertNetwork(nn.Module):
    """Frames and texts to folded scores.

    Args:
        backbone, grid_encoder, temporal_fusion, visual_embedding, text_embedding, encoder, head: the parts.
        fold: how clips become one row, a key of ``FOLDS``.
        group_options: whether the scores of a video's N texts are one row (multiple choice).
        pairs_per_chunk: (pair, clip) combinations that go through the cross-encoder at once in evaluation.
        clip_fusion: where a video's clips meet, a key of ``CLIP_FUSIONS``.
        contrastive: embeds texts and videos on their own; None without.
    """

    def __init__(
        self,
        backbone: GridBackbone,
        grid_encoder: GridEncoder,
        temporal_fusion: nn.Module,
        visual_embedding: VisualEmbedding,
        text_embedding: TextEmbedding,
        encoder: CrossEncoder,
        head: nn.Module,
        fold: str = "lse",
        group_options: bool = False,
        pairs_per_chunk: int = 64,
        clip_fusion: str = "fold",
        contrastive: ContrastiveHead | None = None,
    ):
        super().__init__()
        self.backbone = backbone
        self.grid_encoder = grid_encoder
        self.temporal_fusion = temporal_fusion
        self.visual_embedding = visual_embedding
        self.text_embedding = text_embedding
        self.encoder = encoder
        self.head = head
        self.fold = fold
        self.group_options = group_options
        self.pairs_per_chunk = pairs_per_chunk
        self.clip_fusion = clip_fusion
        self.contrastive = contrastive

    def encode_clips(self, frames: Tensor) -> Tensor:
        """Return ``(B, K, V, D)`` visual embeddings of ``(B, K, T, 3, H, W)`` frames, each frame encoded once."""
        batch, clips, length = frames.shape[:3]
        grids = self.grid_encoder(self.backbone(frames.flatten(0, 2)))
        clip_grids = self.temporal_fusion(grids.unflatten(0, (batch * clips, length)))
        return self.visual_embedding(clip_grids).unflatten(0, (batch, clips))

    def forward(
        self,
        frames: Tensor,
        input_ids: Tensor,
        input_mask: Tensor,
        segment_ids: Tensor,
        lm_label_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Score every text of a video against it.

        Args:
            frames: ``(B, K, T, 3, H, W)`` uint8 or float, 0 to 255.
            input_ids, input_mask, segment_ids: ``(B, N, L)`` int64.
            lm_label_ids: ``(B, N, L)`` for the pre-training head.

        Returns:
            ``scores`` ``(P, A)``, or ``(B, N)`` for multiple choice; in evaluation also what they are folded from,
            ``clip_scores`` ``(P, K, A)`` or ``(B, K, N)``; with labels also ``mlm_scores`` ``(M, vocab)``,
            ``mlm_targets`` ``(M,)``, ``mlm_right`` and ``mlm_total`` ``(P,)``; in training with a contrastive head also
            ``text_embeddings`` ``(B, N, E)``, ``video_embeddings`` ``(B, E)`` and ``contrastive_scale`` ``(1,)``. With
            ``clip_fusion: concat`` K of the scores is 1.
        """
        batch, num_texts = input_ids.shape[:2]
        visual = self.encode_clips(frames)
        texts = [x.flatten(0, 1) for x in (input_ids, input_mask, segment_ids)]
        labels = (
            None
            if lm_label_ids is None or not getattr(self.head, "READS_TEXT", False)
            else lm_label_ids.flatten(0, 1)
        )
        videos = torch.arange(batch, device=frames.device).repeat_interleave(num_texts)
        if self.training or labels is not None:
            length = max(text_lengths(texts[1]).tolist())
            clip_scores, words = self._score(visual, videos, *(x[:, :length] for x in texts), labels)
        else:
            clip_scores, words = self.score_clips(visual, videos, *texts), {}
        scores = fold_clips(clip_scores, self.fold)
        if self.group_options:
            # Clips come second everywhere: (P, K, A) becomes (B, K, N).
            scores, clip_scores = (
                _group_options(scores, batch),
                _group_options(clip_scores, batch).transpose(1, 2),
            )
        if not self.training:
            return {"scores": scores, "clip_scores": clip_scores, **words}
        return {"scores": scores, **words, **self._embed(visual, texts)}

    def _embed(self, visual: Tensor, texts: list[Tensor]) -> dict[str, Tensor]:
        if self.contrastive is None:
            return {}
        return {
            "text_embeddings": self.embed_texts(*texts).unflatten(0, (len(visual), -1)),
            "video_embeddings": self.embed_videos(visual),
            "contrastive_scale": self.contrastive.scale,
        }

    def embed_texts(self, input_ids: Tensor, input_mask: Tensor, segment_ids: Tensor) -> Tensor:
        """Return ``(P, E)`` unit vectors of ``(P, L)`` texts, read without a video; needs the contrastive head."""
        length = max(text_lengths(input_mask).tolist())
        text = self.text_embedding(input_ids[:, :length], segment_ids[:, :length])
        rows = self.encoder.encode_alone(text, input_mask[:, :length], num_rows=1)
        with torch.autocast(rows.device.type, enabled=False):
            return self.contrastive.project_texts(rows[:, 0].float())

    def embed_videos(self, visual: Tensor) -> Tensor:
        """Return ``(B, E)`` unit vectors of ``(B, K, V, D)`` clips, read without a text; needs the contrastive head."""
        rows = self.encoder.encode_alone(visual.flatten(0, 1)).unflatten(0, visual.shape[:2])
        with torch.autocast(rows.device.type, enabled=False):
            return self.contrastive.project_videos(rows.float())

    def texts_per_chunk(self, num_clips: int) -> int:
        """Return how many texts ``score_clips`` puts through the cross-encoder at once."""
        return max(1, self.pairs_per_chunk // num_clips)

    def score_clips(
        self, visual: Tensor, videos: Tensor, input_ids: Tensor, input_mask: Tensor, segment_ids: Tensor
    ) -> Tensor:
        """Score texts against encoded clips, in chunks that fit the memory.

        Args:
            visual: ``(B, K, V, D)`` of ``encode_clips``.
            videos: ``(P,)`` int64, which video each text is scored against.
            input_ids, input_mask, segment_ids: ``(P, L)`` int64.

        Returns:
            ``(P, K, A)``, clips not folded; ``(P, 1, A)`` with ``clip_fusion: concat``.
        """
        texts = (input_ids, input_mask, segment_ids)
        # Texts of like length go together, so that padding is computed for nobody.
        chunk = self.texts_per_chunk(visual.shape[1])
        lengths, order = text_lengths(texts[1]).sort(stable=True)
        outputs = []
        for start, length in zip(range(0, len(order), chunk), _last_of_each(lengths.tolist(), chunk)):
            pairs = order[start : start + chunk]
            outputs.append(self._score(visual, videos[pairs], *(x[pairs, :length] for x in texts), None)[0])
        sorted_scores = torch.cat(outputs)
        return torch.empty_like(sorted_scores).index_copy_(0, order, sorted_scores)

    def _score(self, visual, videos, input_ids, input_mask, segment_ids, labels):
        pair_visual = CLIP_FUSIONS[self.clip_fusion](visual[videos])
        clips = pair_visual.shape[1]
        rows, pooled = self.encoder(
            self.text_embedding(input_ids, segment_ids).repeat_interleave(clips, 0),
            input_mask.repeat_interleave(clips, 0),
            pair_visual.flatten(0, 1),
            keep_text=labels is not None,
        )
        # Scores keep full precision under autocast: rounded ones tie, and a tie is a miss.
        with torch.autocast(pooled.device.type, enabled=False):
            clip_scores = self.head(pooled.to(self.encoder.pooler.weight.dtype)).float()
        clip_scores = clip_scores.unflatten(0, (len(videos), clips))
        if labels is None:
            return clip_scores, {}
        return clip_scores, self._score_words(
            rows.unflatten(0, (len(videos), clips)), labels[:, : rows.shape[1]]
        )

    def _score_words(self, rows: Tensor, labels: Tensor) -> dict[str, Tensor]:
        # Hidden words are read from the mean over clips; images have one.
        hidden = labels != IGNORED_TOKEN
        word_scores = self.head.score_words(rows.mean(1)[hidden])
        right, total = count_words(word_scores.detach(), labels)
        return {
            "mlm_scores": word_scores,
            "mlm_targets": labels[hidden],
            "mlm_right": right,
            "mlm_total": total,
        }


def _group_options(scores: Tensor, batch: int) -> Tensor:
    """Return ``(B, N, ...)`` of ``(P, ..., A)``."""
    return rate_options(scores).unflatten(0, (batch, -1))


def text_lengths(input_mask: Tensor) -> Tensor:
    """Return ``(P,)`` int64: up to which position each text of ``(P, L)`` has tokens, at least 1."""
    places = torch.arange(1, input_mask.shape[1] + 1, device=input_mask.device)
    return (input_mask.bool() * places).amax(1).clamp(min=1)


def _last_of_each(ascending: list[int], size: int) -> list[int]:
    return [ascending[min(start + size, len(ascending)) - 1] for start in range(0, len(ascending), size)]
