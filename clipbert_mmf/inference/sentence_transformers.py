"""A trained model as a ``CrossEncoder`` of sentence-transformers, for its tools and its evaluators.

Optional: ``pip install sentence-transformers``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from tqdm import tqdm

from clipbert_mmf.extras import import_extra
from clipbert_mmf.inference.pairs import PairScorer, Side
from clipbert_mmf.inference.pretrained import ClipBert

if TYPE_CHECKING:
    _CrossEncoder: Any = object
else:
    try:
        from sentence_transformers import CrossEncoder as _CrossEncoder
    except ImportError:
        _CrossEncoder = object


class ClipBertCrossEncoder(_CrossEncoder):
    """Scores pairs of a text and a video through ``predict`` and ``rank``.

    Args:
        model: a trained model, or what ``ClipBert.from_pretrained`` takes.
        activation_fn: applied to the scores; by default none: a score is the logit of a match minus the logit
            of no match, of which ``torch.nn.Sigmoid()`` makes the probability.
        keep_videos: encodings of videos that are kept between calls.
        **options: further arguments of ``ClipBert.from_pretrained``.

    Raises:
        ImportError: if sentence-transformers is not installed.
        WrongHeadError: if the head cannot score.
    """

    def __init__(
        self,
        model: ClipBert | str | Path,
        *,
        activation_fn: Callable[[Tensor], Tensor] | None = None,
        keep_videos: int = 64,
        **options: Any,
    ):
        import_extra(
            "sentence_transformers", "sentence-transformers", "a CrossEncoder needs sentence-transformers"
        )
        loaded = model if isinstance(model, ClipBert) else ClipBert.from_pretrained(model, **options)
        scorer = PairScorer(loaded, keep_videos)
        super().__init__(
            modules=[loaded.network], device=str(loaded.device), activation_fn=activation_fn or nn.Identity()
        )
        self.clipbert = loaded
        self._scorer = scorer

    def predict(
        self,
        inputs: Sequence[tuple[Side, Side]] | tuple[Side, Side],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Callable[[Tensor], Tensor] | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        pool: None = None,
        chunk_size: int | None = None,
    ) -> np.ndarray | Tensor | list[Tensor]:
        """Score pairs; each video is read once, whatever the order of the pairs.

        Args:
            inputs: pairs of a text and a video, in either order, or one pair.
            prompt_name: must be None; ClipBERT reads the text alone.
            prompt: must be None.
            batch_size: without effect; ``model_config.clipbert.pairs_per_chunk`` decides.
            show_progress_bar: whether a bar counts the videos.
            activation_fn: in place of the model's.
            apply_softmax: without effect for one score a pair, as in sentence-transformers.
            convert_to_numpy: an array; otherwise a list of tensors.
            convert_to_tensor: one tensor.
            device: moves the model there first.
            pool: must be None: one process scores.
            chunk_size: without effect.

        Returns:
            ``(P,)`` float32, or one number for one pair.

        Raises:
            ValueError: for a prompt, several devices, or a pair that is not a text and a video.
            MediaError: if a video cannot be read.
        """
        if prompt is not None or prompt_name is not None:
            raise ValueError("prompt and prompt_name must be None: ClipBERT was trained without instructions")
        if pool is not None or isinstance(device, (list, tuple)):
            raise ValueError("pool and lists of devices are not served; give one device")
        if device is not None:
            self.to(device)
        is_single = self.is_singular_input(inputs)
        pairs: Any = [inputs] if is_single else inputs
        bar = partial(tqdm, desc="videos", unit="file", disable=not show_progress_bar)
        scores = (activation_fn or self.activation_fn)(self._scorer.score(pairs, bar))
        if is_single:
            scores = scores[0]
        if convert_to_tensor:
            return scores
        return scores.numpy() if convert_to_numpy else list(scores) if scores.ndim else scores

    def preprocess(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse training by sentence-transformers.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("this model is asked through predict and rank; mmf_run trains it")

    def save_pretrained(self, path: str, *args: Any, **kwargs: Any) -> None:
        """Write the folder that ``ClipBert.from_pretrained`` reads."""
        self.clipbert.save_pretrained(path)
