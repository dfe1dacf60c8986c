"""Products by oneDNN equal those by MKL, in value and gradient; which one computes is measured and kept."""

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clipbert_mmf.modules import products
from clipbert_mmf.modules.activation_checkpointing import run_or_recompute
from clipbert_mmf.modules.cross_encoder import CrossEncoder
from clipbert_mmf.modules.products import MKL, ONEDNN, Choice, Linear, choose_library, use_choice

needs_onednn = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")),
    reason="this PyTorch has no oneDNN",
)
#: Of each product alone, so that one that is wrong is not hidden by the others.
CHOICES = [
    ONEDNN,
    Choice(True, False, False, False),
    Choice(False, True, False, False),
    Choice(False, False, True, False),
    Choice(False, False, False, True),
]
#: Shape of the input and width of the output; the products are large enough to be chosen for.
SHAPES = [((3, 50, 96), 128), ((150, 97), 91), ((2, 3, 20, 128), 130)]


def make_layer(shape, width, bias=True, gelu=False):
    torch.manual_seed(0)
    return torch.randn(shape, requires_grad=True), Linear(shape[-1], width, bias, gelu)


def compute(layer, x, choice):
    """Return the result in inference, the result in training, and the gradients."""
    with use_choice(choice):
        with torch.no_grad():
            inferred = layer(x)
        y = layer(x)
        return inferred, y, torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])


@needs_onednn
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape, width", SHAPES)
@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_both_libraries_give_the_same_values_and_gradients(choice, shape, width, bias, gelu):
    x, layer = make_layer(shape, width, bias, gelu)
    inferred, y, gradients = compute(layer, x, choice)
    expected = F.linear(x, layer.weight, layer.bias)
    expected = F.gelu(expected) if gelu else expected
    expected_gradients = torch.autograd.grad(expected.sin().sum(), [x, *layer.parameters()])
    for value in (inferred, y):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        assert gradient.shape == other.shape
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-4)


@needs_onednn
def test_the_chosen_library_computes():
    x, layer = make_layer((3, 50, 96), 128)
    names = {}
    for choice in (MKL, ONEDNN):
        with use_choice(choice), torch.profiler.profile() as profile:
            layer(x).sum().backward()
        names[choice] = [event.key for event in profile.key_averages()]
    assert names[ONEDNN].count("mkldnn::_linear_pointwise") and "aten::addmm" not in names[ONEDNN]
    assert "aten::addmm" in names[MKL] and "mkldnn::_linear_pointwise" not in names[MKL]


@needs_onednn
def test_parameters_and_names_are_those_of_a_plain_layer():
    plain, layer = nn.Linear(6, 4), Linear(6, 4, gelu=True)
    layer.load_state_dict(plain.state_dict())
    assert isinstance(layer, nn.Linear) and list(layer.state_dict()) == ["weight", "bias"]
    x = torch.randn(2, 6)
    torch.testing.assert_close(copy.deepcopy(layer)(x), F.gelu(plain(x)))


@needs_onednn
@pytest.mark.parametrize("recompute", [False, True])
def test_a_cross_encoder_learns_alike_with_both(recompute):
    torch.manual_seed(0)
    encoder = CrossEncoder(64, 2, 4, 256, dropout=0.0, recompute=recompute)
    text, visual = torch.randn(8, 20, 64), torch.randn(8, 12, 64)
    found = {}
    for choice in (MKL, ONEDNN):
        with use_choice(choice):
            pooled = encoder(text, torch.ones(8, 20), visual)[1]
            gradients = torch.autograd.grad(pooled.square().sum(), list(encoder.parameters()))
            found[choice] = [pooled.detach(), *gradients]
    for value, other in zip(found[ONEDNN], found[MKL], strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-4)


@needs_onednn
def test_recomputed_layers_use_the_library_of_the_first_pass():
    x, layer = make_layer((3, 50, 96), 128)
    with use_choice(ONEDNN), torch.profiler.profile() as profile:
        run_or_recompute(layer, x, recompute=True).sum().backward()
    assert "aten::addmm" not in [event.key for event in profile.key_averages()]


@needs_onednn
def test_gradients_of_gradients_are_those_of_a_plain_layer():
    x, layer = make_layer((3, 50, 96), 128)
    found = {}
    for choice in (MKL, ONEDNN):
        with use_choice(choice):
            (gradient,) = torch.autograd.grad(layer(x).sin().sum(), x, create_graph=True)
            found[choice] = torch.autograd.grad(gradient.square().sum(), [x, layer.weight])
    for value, other in zip(found[ONEDNN], found[MKL], strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-4)


@needs_onednn
@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this CPU has no bf16 instructions"
)
def test_half_precision_fuses_gelu_in_inference_and_keeps_its_type():
    x, layer = make_layer((8, 160, 64), 128, gelu=True)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), torch.profiler.profile() as profile:
        y = layer(x)
    assert y.dtype == torch.bfloat16 and "aten::gelu" not in [event.key for event in profile.key_averages()]
    torch.testing.assert_close(y.float(), F.gelu(F.linear(x, layer.weight, layer.bias)), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_computed_by_pytorch(dtype):
    x, layer = make_layer((150, 97), 91, gelu=True)
    with use_choice(ONEDNN):
        y = copy.deepcopy(layer).to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), layer(x), rtol=2e-2, atol=2e-2)


@pytest.fixture
def undecided(monkeypatch, tmp_path):
    """Nothing is chosen yet, and nothing kept."""
    monkeypatch.setattr(products, "_chosen", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(products.LIBRARY, raising=False)
    return tmp_path / "clipbert_mmf" / "products.json"


def test_a_measurement_is_kept_and_read_by_the_next_process(undecided, monkeypatch):
    first = choose_library()
    (machine, kept), *_ = json.loads(undecided.read_text()).items()
    assert Choice(**kept) == first and f"torch {torch.__version__}" in machine
    # A choice that no measurement gives shows that the file is read.
    odd = Choice(False, not first.input_gradient, True, False)
    undecided.write_text(json.dumps({machine: vars(odd)}))
    monkeypatch.setattr(products, "_chosen", None)
    assert choose_library() == odd


def test_processes_that_start_together_take_what_the_first_kept(undecided, monkeypatch):
    odd = Choice(False, True, True, False)

    def measure_while_another_finishes():
        undecided.parent.mkdir()
        undecided.write_text(json.dumps({products._describe_machine(): vars(odd)}))
        return MKL

    monkeypatch.setattr(products, "measure_choice", measure_while_another_finishes)
    assert choose_library() == odd


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}'])
def test_a_file_that_says_nothing_is_measured_again(undecided, content):
    undecided.parent.mkdir()
    undecided.write_text(content)
    assert isinstance(choose_library(), Choice)
    assert json.loads(undecided.read_text())


def test_a_place_that_cannot_be_written_to_is_no_error(undecided):
    undecided.parent.write_text("a file in place of the folder")
    assert isinstance(choose_library(), Choice)


def test_the_environment_names_the_library(undecided, monkeypatch):
    monkeypatch.setenv(products.LIBRARY, "mkl")
    assert choose_library() == MKL and not undecided.exists()


def test_an_unknown_library_is_an_error_that_names_the_known(undecided, monkeypatch):
    monkeypatch.setenv(products.LIBRARY, "blas")
    with pytest.raises(ValueError, match="CLIPBERT_MMF_PRODUCTS is 'blas'; allowed are mkl, onednn"):
        choose_library()
