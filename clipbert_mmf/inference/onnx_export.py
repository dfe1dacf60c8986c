"""Writes the scorer of a trained model as two ONNX graphs, which need neither this package nor PyTorch to run.

``encoder.onnx`` encodes videos, each once; ``scorer.onnx`` scores texts against them. Numbers of videos, clips,
pairs and text tokens are free. Optional: ``pip install onnx onnxscript onnxruntime``.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipbert_mmf.extras import import_extra
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.inference.recipe import write_recipe
from clipbert_mmf.inference.sources import ENCODER_FILE, ONNX_FILES, SCORER_FILE
from clipbert_mmf.models.network import ClipBertNetwork
from clipbert_mmf.scoring.clips import fold_clips
from clipbert_mmf.weights.export import ExportError

_USE = """\
```python
import numpy as np
import onnxruntime
from transformers import AutoTokenizer

encoder, scorer = (onnxruntime.InferenceSession(name) for name in ("encoder.onnx", "scorer.onnx"))
tokenizer = AutoTokenizer.from_pretrained(".")
# max_text_tokens of preprocessor_config.json
texts = tokenizer(["a text", "another"], padding=True, truncation=True, max_length={limit}, return_tensors="np")
visual = encoder.run(None, {"frames": frames})[0]  # frames (videos, clips, frames, 3, size, size) uint8 RGB
scores, clip_scores = scorer.run(
    None,
    {
        "visual": visual,
        "videos": np.array([0, 0]),  # the row of visual for each text
        "input_ids": texts["input_ids"].astype(np.int64),
        "input_mask": texts["attention_mask"].astype(np.int64),
        "segment_ids": np.zeros_like(texts["input_ids"], dtype=np.int64),
    },
)
```

Frames are read as preprocessor_config.json says. Scores are those before softmax with clips folded, `clip_scores` those
of each clip. With a head that matches, column 1 minus column 0 is the logit of a match."""
_NEED = "the export to ONNX needs onnx, onnxscript and onnxruntime"
#: The first with an exporter that takes what ``torch.export`` traced.
_OLDEST_TORCH = (2, 6)
#: Largest difference of scores between PyTorch and ONNX Runtime, relative and absolute.
_MAX_ERROR = 1e-3


def describe_onnx_use(model: ClipBert) -> str:
    """Return the section of a card about the use of a model's graphs."""
    return _USE.replace("{limit}", str(model.preprocessing.max_text_tokens))


class _Encoder(nn.Module):
    def __init__(self, network: ClipBertNetwork):
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        return self.network.encode_clips(frames)


class _Scorer(nn.Module):
    def __init__(self, network: ClipBertNetwork):
        super().__init__()
        self.network = network

    def forward(
        self, visual: Tensor, videos: Tensor, input_ids: Tensor, input_mask: Tensor, segment_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        clip_scores = self.network.score_batch(visual, videos, input_ids, input_mask, segment_ids)
        return fold_clips(clip_scores, self.network.fold), clip_scores


def save_onnx(model: ClipBert, folder: str | Path) -> None:
    """Write both graphs, the tokenizer and the model's description; compare the graphs with PyTorch.

    ``encoder.onnx``: ``frames`` ``(B, K, T, 3, S, S)`` uint8 RGB, as ``model.preprocessing.read`` gives them,
    to ``visual`` ``(B, K, V, D)`` float32. ``scorer.onnx``: ``visual``; ``videos`` ``(P,)`` int64, the row of
    ``visual`` for each text; ``input_ids``, ``input_mask`` and ``segment_ids`` ``(P, L)`` int64; to ``scores``
    ``(P, A)``, clips folded, and ``clip_scores`` ``(P, K, A)``, before any softmax.

    Args:
        model: is moved to the CPU.
        folder: made if missing; files of the same names are replaced.

    Raises:
        ImportError: if a package of the extra is not installed.
        ExportError: if a part cannot be exported, or the graphs give other scores; names the part. For an old
            torch too.
        RecipeError: if the answers of a classifying head are not known.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(package, "onnx", _NEED)
    if tuple(map(int, torch.__version__.split(".")[:2])) < _OLDEST_TORCH:
        raise ExportError(f"the export to ONNX needs torch 2.6, and {torch.__version__} is installed")
    model.require_answers()
    network, folder = model.network.cpu(), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dim = torch.export.Dim
    videos, clips, pairs = dim("videos"), dim("clips"), dim("pairs")
    table = network.text_embedding
    length = dim("length", min=2, max=table.positions.num_embeddings - table.first_position)
    frames = _make_frames(model, 2, 3)
    _export(
        _Encoder(network),
        {"frames": frames},
        {"frames": {0: videos, 1: clips}},
        ["visual"],
        folder / ENCODER_FILE,
        "backbone or temporal_fusion",
    )
    with torch.no_grad():
        visual = network.encode_clips(frames)
    tokens = _make_tokens(model, 5, 7)
    _export(
        _Scorer(network),
        {"visual": visual, **tokens},
        {
            "visual": {0: videos, 1: clips},
            "videos": {0: pairs},
            **{name: {0: pairs, 1: length} for name in tokens if name != "videos"},
        },
        ["scores", "clip_scores"],
        folder / SCORER_FILE,
        f"head '{model.head_type}' or fold '{network.fold}'",
    )
    _compare(model, folder)
    write_recipe(model.recipe, folder)
    model.save_tokenizer(folder)


def _export(
    graph: nn.Module,
    inputs: dict[str, Tensor],
    free: dict[str, Any],
    outputs: list[str],
    path: Path,
    parts: str,
) -> None:
    told = io.StringIO()
    try:
        # The exporter talks to the terminal, and warns of what concerns its own authors.
        with warnings.catch_warnings(), contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            warnings.simplefilter("ignore")
            # In one way only: the exporter would try others for a minute where this one fails.
            traced = torch.export.export(
                graph.eval(), tuple(inputs.values()), dynamic_shapes=free, strict=False
            )
            program: Any = torch.onnx.export(
                traced, (), input_names=list(inputs), output_names=outputs, dynamo=True, verbose=False
            )
            program.save(str(path))
    except Exception as error:  # the exporter raises whatever its passes raise
        raise ExportError(
            f"the {parts} of this model cannot be exported to ONNX: {_shorten(error)}"
        ) from error
    fixed = [
        f"{value.name} ({value.shape[place]})"
        for value in program.model.graph.inputs
        for place in free[value.name]
        if isinstance(value.shape[place], int)
    ]
    if fixed:
        raise ExportError(
            f"the {parts} of this model cannot be exported to ONNX for any number of videos and texts: "
            f"{', '.join(fixed)} would be fixed"
        )


def _shorten(error: BaseException) -> str:
    """Return what went wrong in one line of at most 300 letters."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:300]


def _make_frames(model: ClipBert, videos: int, clips: int) -> Tensor:
    options = model.preprocessing.clips
    shape = (videos, clips, getattr(options, "num_frames", 1), 3, options.image_size, options.image_size)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def _make_tokens(model: ClipBert, pairs: int, length: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    table = model.network.text_embedding
    ids = torch.randint(0, table.words.num_embeddings, (pairs, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, length // 2 + 1 :] = 0
    return {
        "videos": torch.arange(pairs) % 2,
        "input_ids": ids,
        "input_mask": mask,
        "segment_ids": torch.zeros_like(ids),
    }


def _compare(model: ClipBert, folder: Path) -> None:
    """Run both graphs on other numbers of videos, clips, pairs and tokens than they were made with.

    Raises:
        ExportError: if they fail there, or the scores are not those of the network.
    """
    runtime = import_extra("onnxruntime", "onnx", _NEED)
    longest = model.preprocessing.max_text_tokens
    options = runtime.SessionOptions()
    # What goes wrong is raised.
    options.log_severity_level = 4
    try:
        encoder, scorer = (
            runtime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
            for name in ONNX_FILES
        )
        for videos, clips, pairs, length in ((2, 2, 4, longest), (1, 1, 1, 3)):
            frames, tokens = _make_frames(model, videos, clips), _make_tokens(model, pairs, length)
            (visual,) = encoder.run(None, {"frames": frames.numpy()})
            given = {name: value.numpy() for name, value in tokens.items()}
            found = torch.from_numpy(scorer.run(["scores"], {"visual": visual, **given})[0])
            with torch.no_grad():
                network = model.network
                clip_scores = network.score_batch(network.encode_clips(frames), **tokens)
                wanted = fold_clips(clip_scores, network.fold)
            torch.testing.assert_close(found, wanted, rtol=_MAX_ERROR, atol=_MAX_ERROR)
    except Exception as error:
        raise ExportError(
            f"the graphs do not compute this model's scores, so they are not written: {_shorten(error)}"
        ) from error
