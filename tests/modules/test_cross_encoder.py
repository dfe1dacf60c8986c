"""The cross-encoder against Hugging Face's BERT."""

from typing import cast

import pytest
import torch
from transformers import BertConfig, BertModel

from clipbert_mmf.modules.cross_encoder import CrossEncoder, EncoderLayer, PairTokens
from clipbert_mmf.modules.embedding import TextEmbedding
from tests.modules.filling import fill


def bert_pair():
    config = BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=20,
        attn_implementation="eager",
    )
    reference = BertModel(config).eval()
    fill(reference)
    text, encoder = TextEmbedding(50, 24, 20).eval(), CrossEncoder(24, 3, 4, 40).eval()
    theirs = reference.state_dict()
    names = {
        "words": "word_embeddings",
        "positions": "position_embeddings",
        "types": "token_type_embeddings",
        "norm": "LayerNorm",
    }
    text.load_state_dict(
        {
            name: theirs[".".join(["embeddings", names[name.split(".")[0]], name.split(".")[1]])]
            for name in text.state_dict()
        }
    )
    inner = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "intermediate": "intermediate.dense",
        "output": "output.dense",
        "output_norm": "output.LayerNorm",
    }
    state = {}
    for name in encoder.state_dict():
        parts = name.split(".")
        if parts[0] == "pooler":
            state[name] = theirs[f"pooler.dense.{parts[1]}"]
        else:
            state[name] = theirs[f"encoder.layer.{parts[1]}.{inner[parts[2]]}.{parts[3]}"]
    encoder.load_state_dict(state)
    return reference, text, encoder


def test_text_path_equals_hugging_faces_bert():
    reference, text, encoder = bert_pair()
    ids = torch.arange(2 * 9).remainder(50).view(2, 9)
    mask = torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    expected = reference(ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids))
    nothing_seen = torch.zeros(2, 0, 24)
    rows, pooled = encoder(text(ids, torch.zeros_like(ids)), mask, nothing_seen, keep_text=True)
    torch.testing.assert_close(rows[0], expected.last_hidden_state[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rows[1, :6], expected.last_hidden_state[1, :6], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=1e-5, atol=1e-5)


def test_rows_of_several_layers_equal_hugging_faces_hidden_states():
    reference, text, encoder = bert_pair()
    ids = torch.arange(2 * 9).remainder(50).view(2, 9)
    mask = torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    types = torch.zeros_like(ids)
    states = reference(
        ids, attention_mask=mask, token_type_ids=types, output_hidden_states=True
    ).hidden_states
    rows = encoder.encode_layers(text(ids, types), mask, [0, 2, 3])
    expected = torch.cat([states[0], states[2], states[3]], -1)
    torch.testing.assert_close(rows[mask == 1], expected[mask == 1], rtol=1e-5, atol=1e-5)


def test_the_last_layer_gives_cls_the_same_alone():
    _, text, encoder = bert_pair()
    ids = torch.arange(8).view(2, 4)
    embedded, mask, visual = text(ids, torch.zeros_like(ids)), torch.ones(2, 4), torch.randn(2, 5, 24)
    alone = encoder(embedded, mask, visual)
    whole = encoder(embedded, mask, visual, keep_text=True)
    assert alone[0].shape == (2, 1, 24) and whole[0].shape == (2, 4, 24)
    torch.testing.assert_close(alone[1], whole[1])


def test_padding_of_texts_changes_nothing():
    _, text, encoder = bert_pair()
    ids, visual = torch.arange(4).view(1, 4), torch.randn(1, 5, 24)
    padded = torch.cat([ids, torch.full((1, 6), 7)], 1)
    mask = torch.tensor([[1] * 4 + [0] * 6])
    short = encoder(text(ids, torch.zeros_like(ids)), torch.ones(1, 4), visual)[1]
    long = encoder(text(padded, torch.zeros_like(padded)), mask, visual)[1]
    torch.testing.assert_close(short, long)


@pytest.mark.parametrize("padded", [False, True])
def test_pairs_that_share_texts_and_clips_are_encoded_as_if_each_had_its_own(padded):
    _, text, encoder = bert_pair()
    generator = torch.Generator().manual_seed(0)
    ids, mask = torch.randint(0, 50, (4, 7), generator=generator), torch.ones(4, 7, dtype=torch.int64)
    if padded:
        mask[1, 3:], mask[3, 6:] = 0, 0
    embedded, videos = text(ids, torch.zeros_like(ids)), torch.tensor([0, 2, 0, 1])
    visual = torch.randn(3, 2, 5, 24, generator=generator)
    # Training mode without dropout is the plain way in every layer.
    first = cast(EncoderLayer, encoder.layers[0])
    for module in encoder.modules():
        if isinstance(module, EncoderLayer):
            module.dropout.p = 0.0
    rows, pooled = encoder(embedded, mask, visual, videos=videos)
    each = [x.repeat_interleave(2, 0) for x in (embedded, mask)]
    expected_rows, expected = encoder.train()(*each, visual[videos].flatten(0, 1))
    assert rows.shape == (8, 1, 24)
    torch.testing.assert_close(rows, expected_rows, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(pooled, expected, rtol=1e-5, atol=1e-6)
    joined = PairTokens(embedded, visual, videos).join(first.query)
    plain = first.query(torch.cat([each[0], visual[videos].flatten(0, 1)], 1))
    torch.testing.assert_close(joined, plain, rtol=1e-5, atol=1e-6)


def test_in_half_precision_the_last_layer_keeps_its_keys():
    layer = cast(EncoderLayer, bert_pair()[2].layers[-1])
    hidden = torch.randn(2, 6, 24)
    assert layer._skips_keys(hidden) and not layer._skips_keys(hidden.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not layer._skips_keys(hidden)
    assert not layer.train()._skips_keys(hidden)
