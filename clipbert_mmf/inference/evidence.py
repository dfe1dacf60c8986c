"""Why a trained model says what it says: when in the video, where in the frame, which words (paper section 4.5, beyond it).

Every clip is scored on its own, so its score tells when. Where is in ``heat``, which words in ``words``; beside them the
attention of ``[CLS]`` in the last layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

from clipbert_mmf.inference.heat import HEATS, Tell, choose_heat, ignore_progress
from clipbert_mmf.inference.media import Media
from clipbert_mmf.inference.preprocessing import Clips
from clipbert_mmf.inference.words import measure_words
from clipbert_mmf.models.network import text_lengths
from clipbert_mmf.modules.heads import MATCH_HEADS
from clipbert_mmf.scoring.clips import fold_clips
from clipbert_mmf.scoring.ranking import match_margin
from clipbert_mmf.transforms.text import normalize_whitespace


@dataclass(frozen=True)
class Evidence:
    """What speaks for a text or an answer.

    Attributes:
        text: that was read with the video.
        answer: whose score this is; None where the head has one score.
        times_sec: start and end of each clip; empty for an image.
        clip_scores: ``(K,)`` logit of each clip, before folding.
        frames: ``(K, T, 3, L, L)`` uint8 RGB, as the model saw them.
        attention: ``(K, h, w)`` share of ``[CLS]``'s attention on each grid cell, mean over heads of the last layer.
        text_attention: ``(K, tokens)`` its share on each token; with ``attention`` it sums to 1.
        heat: ``(K, T, h', w')`` what raises the score, 0 to 1, where 1 is the strongest of all clips.
        heat_method: how it was measured, a key of ``HEATS``.
        words: word pieces with what the best clip's score (of an answer: its log-probability there) loses without them.
    """

    text: str
    answer: str | None
    times_sec: tuple[tuple[float, float], ...]
    clip_scores: Tensor
    frames: Tensor
    attention: Tensor
    text_attention: Tensor
    heat: Tensor
    heat_method: str
    words: tuple[tuple[str, float], ...]


def describe_evidence(
    model,
    video: Media | Clips,
    text: str,
    answer: str | None = None,
    heat: str | None = None,
    tell: Tell = ignore_progress,
) -> Evidence:
    """Say when, where and which words speak for a text or an answer.

    Args:
        model: a ``ClipBert``.
        video: as everywhere, or the clips that were read of it.
        text: a caption, or a question (with its option, where the head chooses).
        answer: whose score to explain; the best one where None and the head has a vocabulary.
        heat: a key of ``HEATS``; by default Grad-CAM where the grid has at least 4 cells a side, else occlusion.
        tell: gets how many passes of the heat are done, and how many there are.

    Raises:
        ImportError: if Captum is not installed.
        ValueError: for an empty text, an answer that is not in the vocabulary, or a model that reads its clips together.
        MediaError: if the video cannot be read.
    """
    if find_spec("captum") is None:
        raise ImportError("evidence needs Captum: pip install 'clipbert_mmf[report]'")
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
    tokens = [x[:, :length].to(model.device) for x in tokens]
    pictures = clips.frames.to(model.device, torch.float32)
    explained = _Explained(model, tokens, pictures.shape)
    with torch.no_grad(), _Watch(model.network) as watch:
        all_scores = explained.all_scores(pictures)
        explained.column = _choose_column(model, all_scores, answer)
        scores = explained.pick(all_scores)
        attention = _attend(model.network.encoder.layers[-1], *watch.seen)
        best = model.network.encode_clips(pictures[None])[:, int(scores.argmax())].unsqueeze(1)
        weights = measure_words(
            lambda ids: explained.score_texts(best, ids), tokens[0], model.tokenizer.mask_token_id
        )
    visual = attention[:, length:].unflatten(1, watch.grid)
    method = choose_heat(heat, min(watch.grid))
    hot = HEATS[method](explained, model.network, pictures, tell).cpu()
    pieces = model.tokenizer.convert_ids_to_tokens(tokens[0][0].tolist())
    return Evidence(
        text,
        None if explained.column is None or not model.answers else model.answers[explained.column],
        clips.times_sec,
        scores.float().cpu(),
        clips.frames,
        visual,
        attention[:, :length],
        hot / hot.max().clamp(min=1e-12),
        method,
        tuple(zip(pieces, weights.tolist())),
    )


class _Explained(torch.nn.Module):
    """Pictures to one score for each clip, the function that Captum explains."""

    def __init__(self, model, tokens: list[Tensor], shape: torch.Size):
        super().__init__()
        self._call = (model.network, tokens, shape)  # in a tuple: the network is not a part of this module
        self.has_match = model.head_type in MATCH_HEADS
        self.answers_compete = model.head_type == "classify" and not model.has_soft_answers
        self.column: int | None = None

    def all_scores(self, pictures: Tensor) -> Tensor:
        """Return ``(K, A)``."""
        network, tokens, shape = self._call
        visual = network.encode_clips(pictures.view(1, *shape))
        return network.score_clips(visual, torch.zeros(1, dtype=torch.int64, device=visual.device), *tokens)[
            0
        ]

    def pick(self, scores: Tensor) -> Tensor:
        """Return ``(K,)`` of ``(K, A)``: the score that is explained."""
        return match_margin(scores) if self.has_match else scores[:, self.column or 0]

    def score_texts(self, visual: Tensor, input_ids: Tensor) -> Tensor:
        """Return ``(n,)`` scores of ``(n, L)`` variants of the text, against the one clip of ``(1, 1, V, D)``.

        Of an answer among others it is the log-probability: a word that raises all answers alike does not count.
        """
        network, tokens, _ = self._call
        rest = (x.expand(len(input_ids), -1) for x in tokens[1:])
        videos = torch.zeros(len(input_ids), dtype=torch.int64, device=visual.device)
        scores = network.score_clips(visual, videos, input_ids, *rest)[:, 0]
        return self.pick(scores.log_softmax(-1) if self.answers_compete else scores)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.pick(self.all_scores(pictures))


def _choose_column(model, clip_scores: Tensor, answer: str | None) -> int | None:
    if model.head_type != "classify":
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


class _Watch:
    """Keeps what the last layer got, and the size of the grid; its hooks go when the block ends."""

    def __init__(self, network):
        self._network = network
        self.seen: tuple[Tensor, Tensor] = ()
        self.grid: tuple[int, int] = (0, 0)

    def __enter__(self) -> _Watch:
        self._hooks = [
            self._network.encoder.layers[-1].register_forward_pre_hook(self._keep),
            self._network.grid_encoder.register_forward_hook(self._measure),
        ]
        return self

    def __exit__(self, *error) -> None:
        for hook in self._hooks:
            hook.remove()

    def _measure(self, encoder, arguments, grid) -> None:
        self.grid = tuple(grid.shape[-2:])

    def _keep(self, layer, arguments) -> None:
        self.seen = (arguments[0].detach(), arguments[1])


def _attend(layer, hidden: Tensor, allowed: Tensor) -> Tensor:
    """Return ``(K, L + V)``: the attention weights of row 0, which the fused kernel does not give."""
    query, key = layer._split(layer.query(hidden[:, :1])), layer._split(layer.key(hidden))
    logits = (query @ key.transpose(-1, -2)).float() / key.shape[-1] ** 0.5
    return logits.masked_fill(~allowed, -torch.inf).softmax(-1).mean(1)[:, 0].cpu()
