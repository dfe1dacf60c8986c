"""Half precision decides as full precision does, and the comparison that says so counts right."""

import pytest
import torch

from clipbert_mmf.cli.main import main
from clipbert_mmf.inference.precision import compare_precision, compare_scores
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.weights.loading import load_weights
from tests.inference.small_run import make_run
from tests.parity import released_format as released

TEXTS = [
    "a red circle",
    "two blue squares on the left",
    "a large star jumps then a man runs with the dog",
    "white",
]


@pytest.fixture()
def tokenizer_dir(tmp_path):
    """The same ids in every run: a trained vocabulary is in another order each time, and a near tie may turn."""
    from transformers import BertTokenizerFast

    words = sorted({word for text in TEXTS for word in text.split()})
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n"
    )
    BertTokenizerFast.from_pretrained(str(folder)).save_pretrained(folder)
    return folder


@pytest.fixture()
def model(tmp_path, tokenizer_dir):
    """Numbers that spread the scores: random ones leave every pair undecided."""
    make_run(tmp_path / "run", tokenizer_dir)
    torch.save(released.make_state(4, 16, 2, 400, 24, "match"), tmp_path / "released.pt")
    model = ClipBert.from_pretrained(tmp_path / "run")
    load_weights(model.network, tmp_path / "released.pt", strict=True)
    return model


def make_videos():
    return [
        released.filled(3, 2, 3, 64, 64, seed=number, spread=127, centre=127.5).to(torch.uint8)
        for number in range(25)
    ]


@pytest.mark.parametrize("precision, tolerance", [("bf16", 2e-2), ("fp16", 5e-3)])
def test_decisions_agree_on_99_percent_of_the_pairs(model, precision, tolerance):
    try:
        found = compare_precision(model, make_videos(), TEXTS, precision)
    except ValueError as error:
        assert "does not compute in fp16 on cpu" in str(error) and precision == "fp16"
        pytest.skip(str(error))
    assert found.num_pairs == 100 and found.num_videos == 25
    assert found.pair_agreement >= 0.99 and found.ranking_agreement >= 0.96
    assert 0 < found.mean_error <= found.max_error < tolerance


def test_scores_compared_with_themselves_and_with_their_opposite():
    scores = torch.tensor([[[0.0, 1.0], [2.0, 0.0]], [[0.0, 3.0], [0.0, 4.0]]]).double()
    same = compare_scores(scores, scores, "bf16")
    assert (same.pair_agreement, same.ranking_agreement, same.max_error) == (1.0, 1.0, 0.0)
    other = compare_scores(scores, scores.flip(-1), "bf16")
    assert (other.pair_agreement, other.ranking_agreement) == (0.0, 0.0) and other.max_error > 0.9
    choice = compare_scores(scores[..., 1], scores[..., 1].flip(1), "fp16")
    assert choice.pair_agreement == 0.0 and choice.num_pairs == 4
    counts = compare_scores(
        torch.tensor([[[2.4], [3.0]]]).double(), torch.tensor([[[2.6], [3.1]]]).double(), "fp16"
    )
    assert counts.pair_agreement == 0.5 and counts.max_error == pytest.approx(0.2)


def test_wrong_arguments_are_named(model):
    with pytest.raises(ValueError, match=r"precision is 'int8'; allowed are \['bf16', 'fp16'\]"):
        compare_precision(model, make_videos(), TEXTS, "int8")
    with pytest.raises(ValueError, match="no videos to compare on"):
        compare_precision(model, [], TEXTS, "bf16")


def test_the_command_on_the_demo_corpus(model, corpus, tmp_path, capsys):
    model.save_pretrained(tmp_path / "saved")
    msrvtt = corpus / "msrvtt"
    texts = msrvtt / "MSRVTT_JSFUSION_test.csv"
    arguments = [
        "compare-precision",
        "--model",
        str(tmp_path / "saved"),
        "--media",
        str(msrvtt / "videos"),
        "--texts",
        str(texts),
    ]
    assert main([*arguments, "--precision", "bf16"]) == 0
    assert "of 49 pairs decided as in fp32" in capsys.readouterr().out
    assert main([*arguments[:2], str(tmp_path / "nowhere.ckpt"), *arguments[3:]]) == 1
    assert "clipbert compare-precision: model" in capsys.readouterr().err
