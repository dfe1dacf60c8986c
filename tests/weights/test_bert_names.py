"""BERT's names of our tensors."""

import pytest

from clipbert_mmf.models.build import build_network
from clipbert_mmf.weights.bert_names import to_bert, to_visual_bert
from tests.network_settings import small_config


@pytest.mark.parametrize(
    "own, theirs",
    [
        ("encoder.layers.3.query.weight", "bert.encoder.layer.3.attention.self.query.weight"),
        ("encoder.pooler.bias", "bert.pooler.dense.bias"),
        ("text_embedding.words.weight", "bert.embeddings.word_embeddings.weight"),
        ("head.match.bias", "cls.seq_relationship.bias"),
        ("visual_embedding.rows.weight", None),
        ("backbone.stem.conv.weight", None),
    ],
)
def test_names_are_hugging_faces(own, theirs):
    assert to_bert(own) == theirs


def test_clipbert_adds_the_visual_embedding_and_the_head_of_pairs():
    assert to_visual_bert("visual_embedding.rows.weight") == (
        "bert.visual_embeddings.row_position_embeddings.weight"
    )
    assert to_visual_bert("head.hidden.weight") == "classifier.0.weight"
    assert to_visual_bert("encoder.layers.0.query.bias") == to_bert("encoder.layers.0.query.bias")


def test_every_tensor_of_the_transformer_has_one_name():
    network = build_network(small_config())
    own = [
        name for name in network.state_dict() if name.startswith(("text_embedding", "encoder", "visual_emb"))
    ]
    theirs = [to_visual_bert(name) for name in own]
    assert None not in theirs and len(set(theirs)) == len(own) > 20
