"""Our network by the released model's names; what that model would compute otherwise is refused."""

import pytest
import torch

from clipbert_mmf.models.build import build_network
from clipbert_mmf.weights.export import ExportError, to_released_state
from clipbert_mmf.weights.formats import detect_format
from tests.network_settings import small_config


def test_the_state_is_recognised_as_the_released_models_and_shares_no_memory_layout():
    network = build_network(small_config())
    state = to_released_state(network)
    assert detect_format(state)[0] == "clipbert"
    words = state["transformer.bert.embeddings.word_embeddings.weight"]
    assert torch.equal(words, network.text_embedding.words.weight)
    assert all(value.is_contiguous() and not value.requires_grad for value in state.values())


def test_the_table_that_is_never_read_is_zeros():
    state = to_released_state(build_network(small_config()))
    assert not state["transformer.bert.visual_embeddings.position_embeddings.weight"].any()


@pytest.mark.parametrize("key, value", [("backbone__norm", "group"), ("backbone__bgr", False)])
def test_another_computation_is_refused_with_its_key(key, value):
    network = build_network(small_config(**{key: value}))
    with pytest.raises(ExportError, match=rf"model_config\.clipbert\.{key.replace('__', '.')}="):
        to_released_state(network)
