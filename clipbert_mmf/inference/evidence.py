"""Explain a score: when in the video, where in the frame, which words (paper section 4.5, and beyond it).

Every clip is scored on its own, so its score tells when. ``saliency`` tells where, ``token_attribution``
which words; beside them stands the attention of ``[CLS]`` in the last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from clipbert_mmf.inference.asking import AskedModel
from clipbert_mmf.inference.media import Media
from clipbert_mmf.inference.saliency import (
    SALIENCY_METHODS,
    ReportProgress,
    choose_saliency_method,
    ignore_progress,
)
from clipbert_mmf.inference.token_attribution import attribute_tokens
from clipbert_mmf.models.network import ClipBertNetwork, text_lengths
from clipbert_mmf.modules.cross_encoder import EncoderLayer
from clipbert_mmf.scoring.clips import fold_clips
from clipbert_mmf.scoring.ranking import rate_options
from clipbert_mmf.scoring.validity import check_scores
from clipbert_mmf.shapes import TokenBatch
from clipbert_mmf.transforms.text import normalize_whitespace
from clipbert_mmf.video.clips import Clips


class ExplainedModel(AskedModel, Protocol):
    """The part of ``ClipBert`` that evidence needs."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        ...

    @property
    def tokenizer(self) -> Any:
        """The Hugging Face tokenizer."""
        ...

    def read_clips(self, video: Media | Clips) -> Clips:
        """Return the clips of a video."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> TokenBatch:
        """Return N texts as ``(N, L)`` tokens."""
        ...


@dataclass(frozen=True)
class Evidence:
    """Evidence for a text or an answer.

    Attributes:
        text: text that was read with the video.
        answer: answer whose score is explained; None where the head has one score.
        times_sec: start and end of each clip; empty for an image.
        clip_scores: ``(K,)`` logit of each clip, before folding.
        frames: ``(K, T, 3, L, L)`` uint8 RGB, as the model saw them.
        attention: ``(K, h, w)`` share of ``[CLS]``'s attention on each grid cell, mean over heads of the last
            layer.
        text_attention: ``(K, tokens)`` its share on each token; with ``attention`` it sums to 1.
        saliency: ``(K, T, h', w')`` how much each place raises the score, 0 to 1, where 1 is the strongest of
            all clips.
        saliency_method: how it was measured, a key of ``SALIENCY_METHODS``.
        token_attribution: word pieces with what the best clip's score (of an answer: its log-probability
            there) loses without them.
    """

    text: str
    answer: str | None
    times_sec: tuple[tuple[float, float], ...]
    clip_scores: Tensor
    frames: Tensor
    attention: Tensor
    text_attention: Tensor
    saliency: Tensor
    saliency_method: str
    token_attribution: tuple[tuple[str, float], ...]


def describe_evidence(
    model: ExplainedModel,
    video: Media | Clips,
    text: str,
    answer: str | None = None,
    saliency: str | None = None,
    report_progress: ReportProgress = ignore_progress,
) -> Evidence:
    """Explain the score of a text or an answer.

    Args:
        model: a trained model.
        video: as everywhere, or the clips that were read from it.
        text: a caption, or a question (with its option, where the head chooses).
        answer: answer whose score to explain; the best one where None and the head has a vocabulary.
        saliency: a key of ``SALIENCY_METHODS``; by default Grad-CAM where the grid has at least 4 cells a
            side, else occlusion.
        report_progress: gets how many passes of the saliency are done, and how many there are.

    Raises:
        ImportError: if Captum is not installed.
        ValueError: for an empty text, an answer that is not in the vocabulary, or a model that reads its
            clips together.
        MediaError: if the video cannot be read.
    """
    if find_spec("captum") is None:
        raise ImportError("evidence needs Captum: pip install captum")
    text = normalize_whitespace(text)
    if not text:
        raise ValueError("the text is empty")
    if model.network.clip_fusion != "fold":
        raise ValueError(
            f"evidence is told clip by clip, and this model reads its clips together (clip_fusion: "
            f"{model.network.clip_fusion})"
        )
    clips = model.read_clips(video)
    tokens = model.encode_texts([text])
    length = int(text_lengths(tokens.input_mask)[0])
    token_rows = TokenBatch(*(x[:, :length].to(model.device) for x in tokens))
    pictures = clips.frames.to(model.device, torch.float32)
    explained = _ExplainedScore(model, token_rows, pictures.shape)
    with torch.no_grad(), _LayerWatch(model.network) as watch:
        all_scores = explained.score_all(pictures)
        check_scores(all_scores, len(all_scores), lambda row: f"clip {row} with the text {text!r}")
        explained.column = _choose_column(model, all_scores, answer)
        scores = explained.pick(all_scores)
        attention = _read_attention(watch.layer, *watch.last_inputs)
        best = model.network.encode_clips(pictures[None])[:, int(scores.argmax())].unsqueeze(1)
        weights = attribute_tokens(
            lambda ids: explained.score_texts(best, ids), token_rows.input_ids, model.tokenizer.mask_token_id
        )
    method = choose_saliency_method(saliency, min(watch.grid))
    raised = SALIENCY_METHODS[method](explained, model.network, pictures, report_progress).cpu()
    pieces = model.tokenizer.convert_ids_to_tokens(token_rows.input_ids[0].tolist())
    return Evidence(
        text,
        None if explained.column is None or not model.answers else model.answers[explained.column],
        clips.times_sec,
        scores.float().cpu(),
        clips.frames,
        attention[:, length:].unflatten(1, watch.grid),
        attention[:, :length],
        raised / raised.max().clamp(min=1e-12),
        method,
        tuple(zip(pieces, weights.tolist(), strict=True)),
    )


class _ExplainedScore(nn.Module):
    """The function from pictures to one score for each clip that Captum explains."""

    def __init__(self, model: ExplainedModel, tokens: TokenBatch, shape: torch.Size):
        super().__init__()
        self._call = (model.network, tokens, shape)  # in a tuple: the network is not a part of this module
        self.answers_compete = not model.has_soft_answers
        self.column: int | None = None

    def score_all(self, pictures: Tensor) -> Tensor:
        """Return ``(K, A)``."""
        network, tokens, shape = self._call
        visual = network.encode_clips(pictures.view(1, *shape))
        videos = torch.zeros(1, dtype=torch.int64, device=visual.device)
        return network.score_clips(visual, videos, tokens.input_ids, tokens.input_mask, tokens.segment_ids)[0]

    def pick(self, scores: Tensor) -> Tensor:
        """Return the explained score ``(K,)`` of ``(K, A)``: an answer's, or the text's own."""
        return rate_options(scores) if self.column is None else scores[:, self.column]

    def score_texts(self, visual: Tensor, input_ids: Tensor) -> Tensor:
        """Return ``(n,)`` scores of ``(n, L)`` variants of the text, against the one clip of ``(1, 1, V, D)``.

        For an answer among others it is the log-probability: a word that raises all answers alike does not
        count.
        """
        network, tokens, _ = self._call
        mask, segments = (x.expand(len(input_ids), -1) for x in (tokens.input_mask, tokens.segment_ids))
        videos = torch.zeros(len(input_ids), dtype=torch.int64, device=visual.device)
        scores = network.score_clips(visual, videos, input_ids, mask, segments)[:, 0]
        compete = self.column is not None and self.answers_compete
        return self.pick(scores.log_softmax(-1) if compete else scores)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.pick(self.score_all(pictures))


def _choose_column(model: ExplainedModel, clip_scores: Tensor, answer: str | None) -> int | None:
    if "answer" not in model.asks:
        if answer is not None:
            raise ValueError(
                f"this model's head is '{model.head_type}', which has no answers; give the text alone"
            )
        return None
    if answer is None:
        return int(fold_clips(clip_scores[None], model.network.fold).argmax())
    if answer not in model.answers:
        raise ValueError(f"'{answer}' is not among the model's {len(model.answers)} answers")
    return model.answers.index(answer)


class _LayerWatch:
    """Keeps the inputs of the last layer and the size of the grid.

    Its hooks are removed when the block ends.
    """

    def __init__(self, network: ClipBertNetwork):
        self._network = network
        self.layer = cast(EncoderLayer, network.encoder.layers[-1])
        self.last_inputs: tuple[Tensor, ...] = ()
        self.grid: tuple[int, int] = (0, 0)

    def __enter__(self) -> _LayerWatch:
        self._hooks = [
            self.layer.register_forward_pre_hook(self._keep),
            self._network.grid_encoder.register_forward_hook(self._measure),
        ]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _measure(self, encoder: nn.Module, arguments: tuple[Tensor, ...], grid: Tensor) -> None:
        self.grid = (grid.shape[-2], grid.shape[-1])

    def _keep(self, layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        self.last_inputs = (arguments[0].detach(), arguments[1])


def _read_attention(layer: EncoderLayer, hidden: Tensor, allowed: Tensor) -> Tensor:
    """Return ``(K, L + V)``: the attention weights of row 0, which the fused kernel does not give."""
    query, key = layer.split_heads(layer.query(hidden[:, :1])), layer.split_heads(layer.key(hidden))
    logits = (query @ key.transpose(-1, -2)).float() / key.shape[-1] ** 0.5
    return logits.masked_fill(~allowed, -torch.inf).softmax(-1).mean(1)[:, 0].cpu()
