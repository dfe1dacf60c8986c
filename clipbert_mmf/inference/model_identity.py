"""Names a trained model by a hash of all that its outputs depend on."""

from __future__ import annotations

from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.models.config import dump_model_config
from clipbert_mmf.retrieval.score_store import hash_tensors, hash_values
from clipbert_mmf.transforms.tokens import StoredTokenizer
from clipbert_mmf.video.decode.reading import OWN_BACKENDS


def hash_model(model: ClipBert) -> str:
    """Return the SHA-256 of a model, in hexadecimal: weights, settings, preprocessing, tokenizer, answers.

    A run's folder and what ``clipbert convert`` wrote of it have the same.
    """
    recipe = model.recipe
    backend = getattr(recipe.preprocessing.clips, "backend", "auto")
    tokenizer = StoredTokenizer.of(model.tokenizer)
    return hash_values(
        [
            hash_tensors(model.network.state_dict()),
            dump_model_config(recipe.model),
            recipe.preprocessing.to_dict(),
            "" if backend in OWN_BACKENDS else backend,
            tokenizer.identity if tokenizer else recipe.tokenizer,
            recipe.answers,
        ]
    )
