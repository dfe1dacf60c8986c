"""A network is built from its configuration.

Its parts, its random numbers, and the parts that do not train.
"""

import pytest
import torch

from clipbert_mmf.configuration import ConfigurationError
from clipbert_mmf.models.build import build_network, fill_randomly, freeze_parts
from tests.network_settings import small_config


def test_the_same_seed_gives_the_same_network():
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(build_network(small_config()))
    first, second = (network.state_dict() for network in networks)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_head_of_answers_needs_their_number():
    with pytest.raises(
        ConfigurationError, match=r"model_config\.clipbert\.head\.num_answers is empty; 'classify'"
    ):
        build_network(small_config(head={"type": "classify"}))
    network = build_network(small_config(head={"type": "classify", "num_answers": 7}))
    assert network.head.output.out_features == 7


def test_the_contrastive_head_is_there_when_its_loss_has_a_weight():
    assert build_network(small_config()).contrastive is None
    network = build_network(small_config(contrastive={"weight": 0.1, "size": 8}))
    assert network.contrastive.text.out_features == 8


@pytest.mark.parametrize("head, last", [({"type": "match"}, "output"), ({"type": "pretrain"}, "match")])
def test_joined_scores_begin_as_the_dot_product(head, last):
    towers = {"weight": 1.0, "type": "towers", "size": 8}
    for joins in (False, True):
        network = build_network(small_config(head=head, contrastive={**towers, "joins_scores": joins}))
        layer = getattr(network.head, last)
        assert bool(layer.weight.any()) is not joins and not layer.bias.any()


def test_a_dot_product_replaces_the_scores_of_matches_alone():
    towers = {"weight": 1.0, "type": "towers", "size": 8, "joins_scores": True, "replaces_scores": True}
    for head in ("match", "choose_by_match"):
        assert build_network(small_config(head={"type": head}, contrastive=towers)).replaces_scores
    with pytest.raises(
        ConfigurationError, match="head.type 'pretrain', which needs .* match, choose_by_match"
    ):
        build_network(small_config(head={"type": "pretrain"}, contrastive=towers))
    with pytest.raises(ConfigurationError, match="joins_scores false; set both to true"):
        small_config(contrastive={**towers, "joins_scores": False})


def test_members_of_a_contrastive_head_share_its_size():
    towers = {"weight": 1.0, "type": "towers", "num_members": 3}
    network = build_network(small_config(contrastive={**towers, "size": 12}))
    assert [tower[-1].out_features for tower in network.contrastive.video] == [4, 4, 4]
    with pytest.raises(ConfigurationError, match=r"num_members \(3\) does not divide; set size to 6"):
        small_config(contrastive={**towers, "size": 8})
    with pytest.raises(
        ConfigurationError, match="num_members is 3 .* with type 'rows', which has no towers; set type"
    ):
        small_config(contrastive={**towers, "size": 12, "type": "rows"})


def test_towers_read_the_layers_that_they_name():
    towers = {"weight": 1.0, "type": "towers", "size": 8}
    network = build_network(small_config(contrastive={**towers, "text_layers": [0, 2]})).eval()
    ids = torch.arange(5, 17).view(2, 6)
    mask, types = torch.ones_like(ids), torch.zeros_like(ids)
    mask[1, 4:] = 0
    embedded = network.text_embedding(ids, types)
    rows = torch.cat([embedded, network.encoder.encode_alone(embedded, mask)], -1)
    expected = network.contrastive.project_texts(rows, mask)
    torch.testing.assert_close(network.embed_texts(ids, mask, types), expected)
    for layers in ([3], [1, 1]):
        with pytest.raises(ConfigurationError, match=r"text_layers is .* from 0 \(the embeddings\) to 2 \("):
            small_config(contrastive={**towers, "text_layers": layers})
    for wrong in ({**towers, "text_layers": []}, {"weight": 1.0, "text_layers": [0]}):
        with pytest.raises(ConfigurationError, match="text_layers is .* set type to towers"):
            small_config(contrastive=wrong)


def test_several_heads_are_made_once_each_and_shared_ones_not():
    heads = {
        "a": {"type": "match"},
        "b": {"type": "classify", "num_answers": 3},
        "c": {"type": "choose_by_match", "shares": "a"},
    }
    assert set(build_network(small_config(heads=heads)).head) == {"a", "b"}


def test_linear_layers_get_berts_spread_and_no_bias():
    network = build_network(small_config())
    fill_randomly(network, 0.5)
    assert float(network.text_embedding.words.weight.std()) == pytest.approx(0.5, rel=0.2)
    assert not network.head.output.bias.any()


@pytest.mark.parametrize("backbone, transformer", [(True, False), (False, True)])
def test_frozen_parts_stop_and_heads_and_grid_encoder_train(backbone, transformer):
    network = build_network(small_config())
    freeze_parts(network, backbone, transformer)
    trained = {name.split(".")[0] for name, value in network.named_parameters() if value.requires_grad}
    assert {"head", "grid_encoder"} <= trained
    assert ("backbone" in trained) is not backbone and ("encoder" in trained) is not transformer
