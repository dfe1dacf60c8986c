"""Names of the text embedding, the layers, the pooler and the pre-training head in Hugging Face's BERT and ours."""

from __future__ import annotations

_TEXT = {
    "words": "word_embeddings",
    "positions": "position_embeddings",
    "types": "token_type_embeddings",
    "norm": "LayerNorm",
}
_VISUAL = {
    "rows": "row_position_embeddings",
    "columns": "col_position_embeddings",
    "token_type": "token_type_embeddings",
    "norm": "LayerNorm",
}
_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
#: Names in a model ``bert`` with a pre-training head ``cls`` beside it.
_PRETRAIN_HEAD = {
    "head.transform.weight": "cls.predictions.transform.dense.weight",
    "head.transform.bias": "cls.predictions.transform.dense.bias",
    "head.norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "head.norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "head.decoder.weight": "cls.predictions.decoder.weight",
    "head.decoder.bias": "cls.predictions.bias",
    "head.match.weight": "cls.seq_relationship.weight",
    "head.match.bias": "cls.seq_relationship.bias",
}
#: Names of the masked-word head in a model ``roberta``.
_ROBERTA_HEAD = {
    "head.transform.weight": "lm_head.dense.weight",
    "head.transform.bias": "lm_head.dense.bias",
    "head.norm.weight": "lm_head.layer_norm.weight",
    "head.norm.bias": "lm_head.layer_norm.bias",
    "head.decoder.weight": "lm_head.decoder.weight",
    "head.decoder.bias": "lm_head.bias",
}


def to_bert(own: str) -> str | None:
    """Name in BERT: ``bert.encoder.layer.3.attention.self.query.weight`` for ``encoder.layers.3.query.weight``."""
    if own in _PRETRAIN_HEAD:
        return _PRETRAIN_HEAD[own]
    module, _, rest = own.partition(".")
    if module == "text_embedding":
        part, leaf = rest.split(".")
        return f"bert.embeddings.{_TEXT[part]}.{leaf}"
    if module != "encoder":
        return None
    if rest.startswith("pooler."):
        return f"bert.pooler.dense.{rest.removeprefix('pooler.')}"
    _, number, part, leaf = rest.split(".")
    return f"bert.encoder.layer.{number}.{_LAYER[part]}.{leaf}"


def to_roberta(own: str) -> str | None:
    """Return the name in RoBERTa, XLM-R and CamemBERT: BERT's, but for the masked-word head."""
    if own.startswith("head."):
        return _ROBERTA_HEAD.get(own)
    name = to_bert(own)
    return None if name is None else name.replace("bert.", "roberta.", 1)


def to_visual_bert(own: str) -> str | None:
    """Return the name in ClipBERT's transformer, which is BERT's with a visual embedding and pair heads."""
    module, _, rest = own.partition(".")
    if module == "visual_embedding":
        part, leaf = rest.split(".")
        return f"bert.visual_embeddings.{_VISUAL[part]}.{leaf}"
    if own.startswith("head.hidden."):
        return own.replace("head.hidden", "classifier.0")
    if own.startswith("head.output."):
        return own.replace("head.output", "classifier.2")
    return to_bert(own)
