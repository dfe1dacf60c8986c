"""ClipBERT as plain PyTorch: receives its modules, has one data flow, and reads no configuration."""

# PyTorch's own annotations are partial: unflatten, tolist and others have unknown types.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]  # all kinds derive from it

from clipbert_mmf.modules.clip_fusion import CLIP_FUSIONS
from clipbert_mmf.modules.contrastive import ContrastiveHead, normalize
from clipbert_mmf.modules.cross_encoder import CrossEncoder
from clipbert_mmf.modules.embedding import TextEmbedding, VisualEmbedding
from clipbert_mmf.modules.grid_encoder import GridEncoder
from clipbert_mmf.scoring.clips import fold_clips
from clipbert_mmf.scoring.objectives import count_tokens
from clipbert_mmf.scoring.ranking import rate_options
from clipbert_mmf.shapes import IGNORED_TOKEN


@dataclass(frozen=True)
class HeadUse:
    """Describe how the pairs of one dataset are scored.

    Attributes:
        head: name of the head in a network of several, where datasets may share one; None in a network of
            one.
        fold: how the scores of clips become one row, a key of ``FOLDS``.
        group_options: whether the scores of a video's N texts are one row (multiple choice).
        contrasts: whether the dataset's texts match a video or not, so that the contrastive head learns from
            them.
    """

    head: str | None = None
    fold: str = "lse"
    group_options: bool = False
    contrasts: bool = True


_DEFAULT_USE = HeadUse()


#: (Pair, clip) combinations at once where the configuration says nothing. 64 cost 3x the time of 1024 on an H100,
#: which then adds 1.7 GiB at full size.
_PAIRS_AT_ONCE, _PAIRS_AT_ONCE_CUDA = 64, 1024


def choose_pairs_at_once(device: torch.device) -> int:
    """Return the (pair, clip) combinations that are scored at once where the configuration says nothing."""
    return _PAIRS_AT_ONCE_CUDA if device.type == "cuda" else _PAIRS_AT_ONCE


class ClipBertNetwork(nn.Module):
    """Score texts against frames. All datasets share everything but the heads.

    Args:
        backbone: ``(F, 3, H, W)`` frames to ``(F, C, h, w)``, see ``BACKBONES``.
        grid_encoder: brings the grid to D channels.
        temporal_fusion: ``(clips, T, D, h, w)`` to ``(clips, D, h, w)``.
        visual_embedding: grids to visual tokens.
        text_embedding: word pieces to text tokens.
        encoder: the cross-encoder.
        head: from pooled vectors to scores; or an ``nn.ModuleDict`` of heads by name, in a run over several
            datasets.
        uses: how the pairs of every dataset are scored; or, with several heads, by dataset.
        pairs_per_chunk: (pair, clip) combinations that go through the cross-encoder at once in evaluation;
            None chooses by the device.
        clip_fusion: where a video's clips meet, a key of ``CLIP_FUSIONS``.
        contrastive: embeds texts and videos on their own; None without.
        hard_negatives: videos, and as many texts, of the batch that training scores with every matching text.
        replaces_scores: whether the dot products of clips and texts are the scores; what only the cross-encoder's
            pairs need does not train then, and is not computed.
    """

    def __init__(
        self,
        backbone: nn.Module,
        grid_encoder: GridEncoder,
        temporal_fusion: nn.Module,
        visual_embedding: VisualEmbedding,
        text_embedding: TextEmbedding,
        encoder: CrossEncoder,
        head: nn.Module,
        uses: HeadUse | Mapping[str, HeadUse] = _DEFAULT_USE,
        pairs_per_chunk: int | None = None,
        clip_fusion: str = "fold",
        contrastive: ContrastiveHead | None = None,
        hard_negatives: int = 0,
        replaces_scores: bool = False,
    ):
        super().__init__()
        self.backbone = backbone
        self.grid_encoder = grid_encoder
        self.temporal_fusion = temporal_fusion
        self.visual_embedding = visual_embedding
        self.text_embedding = text_embedding
        self.encoder = encoder
        self.head = head
        self.uses = uses if isinstance(uses, HeadUse) else dict(uses)
        self.pairs_per_chunk = pairs_per_chunk
        self.clip_fusion = clip_fusion
        self.contrastive = contrastive
        self.hard_negatives = hard_negatives
        self.replaces_scores = replaces_scores
        if replaces_scores:
            for part in (grid_encoder, temporal_fusion, visual_embedding, encoder.pooler, head):
                part.requires_grad_(False)

    def find_use(self, dataset: str | None = None) -> HeadUse:
        """Return how the pairs of a dataset are scored.

        Args:
            dataset: registry key; a network of one head needs none.

        Raises:
            ValueError: if the network has several heads and none for this dataset.
        """
        if isinstance(self.uses, HeadUse):
            return self.uses
        if dataset not in self.uses:
            raise ValueError(
                f"a batch is of dataset '{dataset}', for which model_config.clipbert.heads has no head; "
                f"it has {sorted(self.uses)}"
            )
        return self.uses[dataset]

    def select(self, dataset: str | None = None) -> DatasetNetwork:
        """Return this network for the pairs of one dataset.

        Raises:
            ValueError: if the network has several heads and none for this dataset.
        """
        return DatasetNetwork(self, self.find_use(dataset))

    @property
    def fold(self) -> str:
        """The fold of a network with one head."""
        return self.find_use().fold

    @property
    def group_options(self) -> bool:
        """Tell whether a network with one head makes one row of the scores of a video's N texts."""
        return self.find_use().group_options

    def find_head(self, use: HeadUse) -> nn.Module:
        """Return the head that scores a dataset's pairs."""
        return self.head[use.head] if isinstance(self.head, nn.ModuleDict) and use.head else self.head

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.text_embedding.words.weight.device

    def train(self, mode: bool = True) -> ClipBertNetwork:
        """Set training mode; what does not train in the backbone keeps its statistics and drops nothing."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.backbone.parameters()):
            self.backbone.eval()
        for part in self.backbone.modules():
            if isinstance(part, _BatchNorm) and not _trains(part):
                part.eval()
        return self

    def encode_clips(self, frames: Tensor) -> Tensor:
        """Return visual tokens ``(B, K, V, D)`` for frames ``(B, K, T, 3, H, W)``.

        Each frame is encoded once. The contrastive head may add rows of its own behind the tokens of a clip.
        """
        batch, clips, length = frames.shape[:3]
        features = self.backbone(frames.flatten(0, 2))
        if self.contrastive is not None and self.replaces_scores:
            no_tokens = features.new_zeros(batch, clips, 0, self.encoder.pooler.weight.shape[0])
            return self.contrastive.add_summary(no_tokens, features.unflatten(0, (batch, clips, length)))
        grids = self.grid_encoder(features)
        clip_grids = self.temporal_fusion(grids.unflatten(0, (batch * clips, length)))
        visual = self.visual_embedding(clip_grids).unflatten(0, (batch, clips))
        if self.contrastive is None:
            return visual
        return self.contrastive.add_summary(visual, features.unflatten(0, (batch, clips, length)))

    def forward(
        self,
        frames: Tensor,
        input_ids: Tensor,
        input_mask: Tensor,
        segment_ids: Tensor,
        lm_label_ids: Tensor | None = None,
        dataset: str | None = None,
        targets: Tensor | None = None,
        media_index: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Score every text of a video against it.

        Args:
            frames: ``(B, K, T, 3, H, W)`` uint8 or float, 0 to 255.
            input_ids: ``(B, N, L)`` int64.
            input_mask: ``(B, N, L)`` int64, 1 on tokens.
            segment_ids: ``(B, N, L)`` int64.
            lm_label_ids: ``(B, N, L)`` for the pre-training head.
            dataset: registry key of the batch's dataset; a network of one head needs none.
            targets: ``(B, N)``, 1 where a text matches; read where training chooses hard negatives.
            media_index: ``(B,)``, the same for items of one medium; likewise.

        Returns:
            ``scores`` ``(P, A)``, or ``(B, N)`` for multiple choice. Evaluation adds ``clip_scores`` ``(P, K,
            A)`` or ``(B, K, N)``, which were folded. Labels add ``mlm_scores`` ``(M, vocab)``,
            ``mlm_targets`` ``(M,)``, ``mlm_right`` and ``mlm_total`` ``(P,)``. Training with a contrastive
            head adds ``text_embeddings`` ``(B, N, E)``, ``video_embeddings`` ``(B, E)`` and
            ``contrastive_scale`` ``(1,)``. With ``clip_fusion: concat`` K of the scores is 1. With hard
            negatives the pairs are those of ``choose_pairs``, and ``match_targets`` ``(P,)`` goes with them.

        Raises:
            ValueError: if the network has several heads and none for this dataset.
        """
        use = self.find_use(dataset)
        batch, num_texts = input_ids.shape[:2]
        visual = self.encode_clips(frames)
        texts = [x.flatten(0, 1) for x in (input_ids, input_mask, segment_ids)]
        labels = (
            None
            if lm_label_ids is None or not getattr(self.find_head(use), "READS_TEXT", False)
            else lm_label_ids.flatten(0, 1)
        )
        videos = torch.arange(batch, device=frames.device).repeat_interleave(num_texts)
        if not self.training:
            if labels is None:
                clip_scores, words = self.score_clips(visual, videos, *texts, use=use), {}
            else:
                clip_scores, words = self._score(use, visual, videos, *_shorten(texts), labels=labels)
            scores = fold_clips(clip_scores, use.fold)
            if use.group_options:
                # Clips come second everywhere: (P, K, A) becomes (B, K, N).
                scores, clip_scores = (
                    _group_options(scores, batch),
                    _group_options(clip_scores, batch).transpose(1, 2),
                )
            return {"scores": scores, "clip_scores": clip_scores, **words}
        # The options of a question are compared by their scores.
        learns = use.contrasts and not (use.group_options and self.replaces_scores)
        embedded = self._embed(visual, texts) if learns else {}
        chosen: dict[str, Tensor] = {}
        rows: Tensor | slice = slice(None)
        if self.hard_negatives and embedded and targets is not None and media_index is not None:
            rows, videos, match_targets = choose_pairs(
                embedded, targets.flatten(), videos, media_index, texts[0], self.hard_negatives
            )
            texts = [x[rows] for x in texts]
            # Hidden words are predicted once, from the text's own video.
            labels = (
                None
                if labels is None
                else labels[rows].masked_fill(match_targets[:, None] == 0, IGNORED_TOKEN)
            )
            chosen = {"match_targets": match_targets}
        vectors = embedded["text_embeddings"].flatten(0, 1)[rows] if embedded else None
        clip_scores, words = self._score(
            use, visual, videos, *_shorten(texts), labels=labels, text_vectors=vectors
        )
        scores = fold_clips(clip_scores, use.fold)
        if use.group_options:
            scores = _group_options(scores, batch)
        return {"scores": scores, **words, **embedded, **chosen}

    def _embed(self, visual: Tensor, texts: list[Tensor]) -> dict[str, Tensor]:
        if self.contrastive is None:
            return {}
        return {
            "text_embeddings": self.embed_texts(*texts).unflatten(0, (len(visual), -1)),
            "video_embeddings": self.embed_videos(visual),
            "contrastive_scale": self.contrastive.scale,
        }

    def embed_texts(self, input_ids: Tensor, input_mask: Tensor, segment_ids: Tensor) -> Tensor:
        """Return unit vectors ``(P, E)`` for texts ``(P, L)``, read without a video.

        Raises:
            ValueError: if the network has no contrastive head.
        """
        return self._embed_padded(*_shorten([input_ids, input_mask, segment_ids]))

    def _embed_distinct(self, *texts: Tensor) -> Tensor:
        """Return what ``embed_texts`` returns; texts that are the same are read once."""
        rows, places = torch.stack(texts, 1).unique(dim=0, return_inverse=True)
        return self.embed_texts(*rows.unbind(1))[places]

    def _embed_padded(self, input_ids: Tensor, input_mask: Tensor, segment_ids: Tensor) -> Tensor:
        head = self._require_contrastive()
        rows = self.read_texts(input_ids, input_mask, segment_ids, None if head.reads_words else 1)
        with torch.autocast(rows.device.type, enabled=False):
            return head.project_texts(rows.float(), input_mask)

    def read_texts(
        self, input_ids: Tensor, input_mask: Tensor, segment_ids: Tensor, num_rows: int | None = None
    ) -> Tensor:
        """Return the cross-encoder's rows ``(P, num_rows, D)`` of texts ``(P, L)`` without a video.

        Where the contrastive head reads several layers, theirs are side by side.
        """
        text = self.text_embedding(input_ids, segment_ids)
        layers = self.contrastive.text_layers if self.contrastive is not None else ()
        if layers:
            return self.encoder.encode_layers(text, input_mask, layers)[:, :num_rows]
        return self.encoder.encode_alone(text, input_mask, num_rows)

    def embed_videos(self, visual: Tensor) -> Tensor:
        """Return unit vectors ``(B, E)`` for clips ``(B, K, V, D)``, read without a text.

        Raises:
            ValueError: if the network has no contrastive head.
        """
        head = self._require_contrastive()
        visual, summary = head.split_summary(visual)
        if summary is not None:
            return normalize(summary.float().mean(1))
        rows = self.encoder.encode_alone(visual.flatten(0, 1)).unflatten(0, visual.shape[:2])
        with torch.autocast(rows.device.type, enabled=False):
            return head.project_videos(rows.float())

    def embed_moments(self, visual: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors of videos ``(B, E)`` as ``embed_videos``, and of each clip alone ``(B, K, E)``.

        Raises:
            ValueError: if the network has no contrastive head.
        """
        head = self._require_contrastive()
        visual, summary = head.split_summary(visual)
        if summary is not None:
            return normalize(summary.float().mean(1)), normalize(summary)
        rows = self.encoder.encode_alone(visual.flatten(0, 1)).unflatten(0, visual.shape[:2])
        with torch.autocast(rows.device.type, enabled=False):
            rows = rows.float()
            clips = head.project_videos(rows.flatten(0, 1)[:, None]).unflatten(0, visual.shape[:2])
            return head.project_videos(rows), clips

    def _require_contrastive(self) -> ContrastiveHead:
        if self.contrastive is None:
            raise ValueError(
                "this model has no contrastive head; train one with "
                "model_config.clipbert.contrastive.weight=0.1"
            )
        return self.contrastive

    @property
    def pairs_at_once(self) -> int:
        """Number of (pair, clip) combinations that go through the cross-encoder at once, here."""
        return self.pairs_per_chunk or choose_pairs_at_once(self.device)

    def texts_per_chunk(self, num_clips: int) -> int:
        """Return the number of texts that ``score_clips`` puts through the cross-encoder at once."""
        return max(1, self.pairs_at_once // num_clips)

    def score_clips(
        self,
        visual: Tensor,
        videos: Tensor,
        input_ids: Tensor,
        input_mask: Tensor,
        segment_ids: Tensor,
        *,
        use: HeadUse | None = None,
    ) -> Tensor:
        """Score texts against encoded clips, in chunks that fit the memory.

        Args:
            visual: ``(B, K, V, D)`` from ``encode_clips``.
            videos: ``(P,)`` int64, the video that each text is scored against.
            input_ids: ``(P, L)`` int64.
            input_mask: ``(P, L)`` int64, 1 on tokens.
            segment_ids: ``(P, L)`` int64.
            use: from ``find_use``; a network of one head needs none.

        Returns:
            ``(P, K, A)``, clips not folded; ``(P, 1, A)`` with ``clip_fusion: concat``.
        """
        use = use or self.find_use()
        texts = (input_ids, input_mask, segment_ids)
        # Texts of similar length go together, so that little padding is computed.
        chunk = self.texts_per_chunk(visual.shape[1])
        lengths, order = text_lengths(texts[1]).sort(stable=True)
        outputs: list[Tensor] = []
        longest = _last_of_each(lengths.tolist(), chunk)
        for start, length in zip(range(0, len(order), chunk), longest, strict=True):
            pairs = order[start : start + chunk]
            shortened = [x[pairs, :length] for x in texts]
            outputs.append(self._score(use, visual, videos[pairs], *shortened, labels=None, shares=True)[0])
        sorted_scores = torch.cat(outputs)
        return torch.empty_like(sorted_scores).index_copy_(0, order, sorted_scores)

    def score_batch(
        self, visual: Tensor, videos: Tensor, input_ids: Tensor, input_mask: Tensor, segment_ids: Tensor
    ) -> Tensor:
        """Return what ``score_clips`` returns, of all pairs at once and without a look at their lengths.

        An exported graph is made of this; the network has one head.
        """
        texts = input_ids, input_mask, segment_ids
        joins = self.contrastive is not None and self.contrastive.midpoint is not None
        vectors = self._embed_padded(*texts) if joins else None
        return self._score(self.find_use(), visual, videos, *texts, labels=None, text_vectors=vectors)[0]

    def _score(
        self,
        use: HeadUse,
        visual: Tensor,
        videos: Tensor,
        input_ids: Tensor,
        input_mask: Tensor,
        segment_ids: Tensor,
        labels: Tensor | None,
        text_vectors: Tensor | None = None,
        shares: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        head, contrastive = self.find_head(use), self.contrastive
        visual, summary = (visual, None) if contrastive is None else contrastive.split_summary(visual)
        if contrastive is not None and self.replaces_scores and summary is not None:
            if text_vectors is None:
                text_vectors = self._embed_distinct(input_ids, input_mask, segment_ids)
            if self.clip_fusion == "concat":
                summary = summary.mean(1, keepdim=True)
            return contrastive.compare(summary[videos], text_vectors), {}
        fuse, text = CLIP_FUSIONS[self.clip_fusion], self.text_embedding(input_ids, segment_ids)
        if shares and text.device.type == "cpu":
            used, places = videos.unique(return_inverse=True)
            fused = fuse(visual[used])
            clips = fused.shape[1]
            rows, pooled = self.encoder(text, input_mask, fused, videos=places)
        else:
            pair_visual = fuse(visual[videos])
            clips = pair_visual.shape[1]
            rows, pooled = self.encoder(
                _repeat_rows(text, clips),
                _repeat_rows(input_mask, clips),
                pair_visual.flatten(0, 1),
                keep_text=labels is not None,
            )
        # Scores keep full precision under autocast: rounded scores tie, and a tie counts as a miss.
        with torch.autocast(pooled.device.type, enabled=False):
            clip_scores = head(pooled.to(self.encoder.pooler.weight.dtype)).float()
        # Not len(): an exported graph would keep the number of pairs it was made with.
        clip_scores = clip_scores.unflatten(0, (videos.shape[0], clips))
        if (
            contrastive is not None
            and contrastive.midpoint is not None
            and use.contrasts
            and summary is not None
        ):
            # Read together, the clips of a video have one score: that of their mean.
            vectors = summary if clips == summary.shape[1] else summary.mean(1, keepdim=True)
            if text_vectors is None:
                text_vectors = self.embed_texts(input_ids, input_mask, segment_ids)
            # The pair's loss trains what the dot product lacks, not the dot product.
            clip_scores = contrastive.join(clip_scores, vectors[videos].detach(), text_vectors.detach())
        if labels is None:
            return clip_scores, {}
        rows = rows.unflatten(0, (videos.shape[0], clips))
        return clip_scores, self._score_words(head, rows, labels[:, : rows.shape[2]])

    @staticmethod
    def _score_words(head: Any, rows: Tensor, labels: Tensor) -> dict[str, Tensor]:
        # Hidden words are predicted from the mean over clips; images have one clip.
        hidden = labels != IGNORED_TOKEN
        word_scores = head.score_words(rows.mean(1)[hidden])
        right, total = count_tokens(word_scores.detach(), labels)
        return {
            "mlm_scores": word_scores,
            "mlm_targets": labels[hidden],
            "mlm_right": right,
            "mlm_total": total,
        }


@dataclass(frozen=True)
class DatasetNetwork:
    """A network for the pairs of one dataset: encodes and scores outside of ``forward``.

    Attributes:
        network: holds the modules.
        use: how the dataset's pairs are scored.
    """

    network: ClipBertNetwork
    use: HeadUse

    @property
    def head(self) -> nn.Module:
        """The dataset's head."""
        return self.network.find_head(self.use)

    @property
    def fold(self) -> str:
        """The fold over clips, a key of ``FOLDS``."""
        return self.use.fold

    @property
    def group_options(self) -> bool:
        """Tell whether the scores of a video's N texts are one row."""
        return self.use.group_options

    @property
    def clip_fusion(self) -> str:
        """The place where a video's clips meet, a key of ``CLIP_FUSIONS``."""
        return self.network.clip_fusion

    @property
    def contrastive(self) -> ContrastiveHead | None:
        """The contrastive head, where it learns from this dataset."""
        return self.network.contrastive if self.use.contrasts else None

    @property
    def pairs_at_once(self) -> int:
        """Number of (pair, clip) combinations that go through the cross-encoder at once, here."""
        return self.network.pairs_at_once

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.network.device

    def state_dict(self) -> dict[str, Tensor]:
        """Return the network's tensors without those of other heads."""
        own = "head." if self.use.head is None else f"head.{self.use.head}."
        state = self.network.state_dict()
        return {
            name: value
            for name, value in state.items()
            if not name.startswith("head.") or name.startswith(own)
        }

    def encode_clips(self, frames: Tensor) -> Tensor:
        """Return what ``ClipBertNetwork.encode_clips`` returns."""
        return self.network.encode_clips(frames)

    def embed_texts(self, input_ids: Tensor, input_mask: Tensor, segment_ids: Tensor) -> Tensor:
        """Return what ``ClipBertNetwork.embed_texts`` returns."""
        return self.network.embed_texts(input_ids, input_mask, segment_ids)

    def embed_videos(self, visual: Tensor) -> Tensor:
        """Return what ``ClipBertNetwork.embed_videos`` returns."""
        return self.network.embed_videos(visual)

    def texts_per_chunk(self, num_clips: int) -> int:
        """Return what ``ClipBertNetwork.texts_per_chunk`` returns."""
        return self.network.texts_per_chunk(num_clips)

    def score_clips(
        self, visual: Tensor, videos: Tensor, input_ids: Tensor, input_mask: Tensor, segment_ids: Tensor
    ) -> Tensor:
        """Return what ``ClipBertNetwork.score_clips`` returns, from the dataset's head."""
        return self.network.score_clips(visual, videos, input_ids, input_mask, segment_ids, use=self.use)


def _trains(part: nn.Module) -> bool:
    parameters = list(part.parameters(recurse=False))
    return not parameters or any(parameter.requires_grad for parameter in parameters)


def _repeat_rows(x: Tensor, times: int) -> Tensor:
    """Return ``(P * times, ...)``: each row as often, one after the other.

    ``repeat_interleave`` does the same; its ONNX form only takes the number of rows it was made with.
    """
    return x.unsqueeze(1).expand(-1, times, *x.shape[1:]).flatten(0, 1)


def _group_options(scores: Tensor, batch: int) -> Tensor:
    """Return ``(B, N, ...)`` for ``(P, ..., A)``."""
    return rate_options(scores).unflatten(0, (batch, -1))


def text_lengths(input_mask: Tensor) -> Tensor:
    """Return the length ``(P,)`` int64 of each text of a mask ``(P, L)``.

    Its last token's position, at least 1.
    """
    places = torch.arange(1, input_mask.shape[1] + 1, device=input_mask.device)
    return (input_mask.bool() * places).amax(1).clamp(min=1)


def _shorten(texts: list[Tensor]) -> list[Tensor]:
    """Return ids, mask and types ``(P, L)`` without the columns that hold padding alone."""
    length = max(text_lengths(texts[1]).tolist())
    return [x[:, :length] for x in texts]


def choose_pairs(
    embedded: Mapping[str, Tensor],
    targets: Tensor,
    videos: Tensor,
    media_index: Tensor,
    input_ids: Tensor,
    count: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the pairs that training scores: every match, and negatives of the batch that look like one.

    A negative is drawn with the probability that the contrastive head gives it (Li et al. 2021, ALBEF, section
    3.2). What shares the medium or the words of a match is none.

    Args:
        embedded: ``text_embeddings`` ``(B, N, E)``, ``video_embeddings`` ``(B, E)``, ``contrastive_scale``.
        targets: ``(P,)``, 1 where a text matches its video.
        videos: ``(P,)`` int64, row of the video of each text.
        media_index: ``(B,)``, the same for items of one medium.
        input_ids: ``(P, L)`` int64.
        count: n; fewer where the batch has fewer wrong ones for some text.

    Returns:
        Text and video of each pair and its target, ``(M * (1 + 2 n),)`` each: M matches, then n other videos of
        each text, then n other texts of each one's video.
    """
    matching = targets.nonzero()[:, 0]
    own, media = videos[matching], media_index[videos[matching]]
    texts = embedded["text_embeddings"].detach().flatten(0, 1)[matching]
    logits = embedded["contrastive_scale"].detach() * texts @ embedded["video_embeddings"].detach().T
    # Text x text: the second is correct for the first one's video.
    same_words = (input_ids[matching][:, None] == input_ids[matching][None]).all(-1)
    # Words that some text of a medium has are correct for all its videos.
    correct_texts = ((media[:, None] == media[None]).float() @ same_words.float()) > 0
    correct_videos = (same_words.float() @ (media[:, None] == media_index[None]).float()) > 0
    fewest = int(torch.minimum((~correct_videos).sum(1), (~correct_texts).sum(1)).min()) if len(own) else 0
    count = min(count, fewest)
    if not count:
        return matching, own, torch.ones_like(matching)
    other_videos = _draw(logits.masked_fill(correct_videos, -torch.inf), count)
    other_texts = _draw(logits.T[own].masked_fill(correct_texts, -torch.inf), count)
    return (
        torch.cat([matching, matching.repeat_interleave(count), matching[other_texts.flatten()]]),
        torch.cat([own, other_videos.flatten(), own.repeat_interleave(count)]),
        torch.cat([torch.ones_like(matching), matching.new_zeros(2 * count * len(matching))]),
    )


def _draw(logits: Tensor, count: int) -> Tensor:
    """Draw ``count`` different columns of each row, likelier the larger their logit: Gumbel's way never underflows."""
    noise = -torch.empty_like(logits).exponential_().log()
    return (logits + noise).topk(count, dim=1).indices


def _last_of_each(ascending: list[int], size: int) -> list[int]:
    return [ascending[min(start + size, len(ascending)) - 1] for start in range(0, len(ascending), size)]
