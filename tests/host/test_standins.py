"""Names that MMF imports and today's libraries lack: there for MMF, and for nobody else."""

import sys

import pytest

from clipbert_mmf.host.loading import make_redirected_builtins
from clipbert_mmf.host.standins import STANDINS

#: Stand-in -> statement as MMF has it, and an expression on what it gives.
STATEMENTS = {
    "torchtext": ("from torchtext import vocab", "'glove' not in vocab.pretrained_aliases"),
    "demjson": ("import demjson", "demjson.decode('{a: 1}') == demjson.decode('{\"a\": 1}') == {'a': 1}"),
    "transformers.optimization": (
        "from transformers.optimization import AdamW, get_linear_schedule_with_warmup",
        "AdamW.__name__ == 'AdamW'",
    ),
    "transformers.modeling_bert": (
        "from transformers.modeling_bert import BertLayerNorm, BertEmbeddings",
        "BertLayerNorm(3).eps > 0",
    ),
    "transformers.configuration_bert": (
        "from transformers.configuration_bert import BertConfig",
        "BertConfig()",
    ),
    "transformers.tokenization_bert": (
        "from transformers.tokenization_bert import BertTokenizer",
        "BertTokenizer",
    ),
    "transformers.modeling_roberta": (
        "from transformers.modeling_roberta import RobertaModel",
        "RobertaModel",
    ),
    "transformers.configuration_auto": (
        "from transformers.configuration_auto import AutoConfig",
        "AutoConfig",
    ),
    "transformers.modeling_auto": ("from transformers.modeling_auto import AutoModel", "AutoModel"),
    "transformers.tokenization_auto": (
        "from transformers.tokenization_auto import AutoTokenizer",
        "AutoTokenizer",
    ),
    "pytorch_lightning.callbacks.base": ("from pytorch_lightning.callbacks.base import Callback", "Callback"),
    "torchvision.io": ("from torchvision.io import read_video", "callable(read_video)"),
    "torchaudio": (
        "from torchaudio import transforms",
        "getattr(transforms, 'GrayScaleTo3Channels', None) is None",
    ),
}
#: What supported libraries that are not the newest still have themselves.
GONE_BY_AND_BY = {"torchvision.io", "transformers.optimization", "torchaudio"}
#: Submodules of a stand-in that is in the table, or names that only come with it.
PARTS = {"pytorch_lightning", "pytorch_lightning.callbacks"}


def run_as_mmf(statement: str) -> dict:
    names = {"__builtins__": make_redirected_builtins(), "__name__": "mmf.somewhere"}
    exec(statement, names)
    return names


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_mmf_gets_what_it_asks_for(name):
    statement, expression = STATEMENTS[name]
    assert eval(expression, run_as_mmf(statement))


def library_has(name: str) -> bool:
    try:
        exec(STATEMENTS[name][0], {})
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_without_the_standin_the_import_fails(name, monkeypatch):
    monkeypatch.setenv("CLIPBERT_MMF_SKIP_SHIMS", name)
    if name in GONE_BY_AND_BY and library_has(name):
        run_as_mmf(STATEMENTS[name][0])
        return
    with pytest.raises(ImportError):
        run_as_mmf(STATEMENTS[name][0])


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_nobody_else_sees_it(name):
    had = library_has(name)
    run_as_mmf(STATEMENTS[name][0])
    assert library_has(name) == had
    assert name in GONE_BY_AND_BY or (not had and name not in sys.modules)


def test_every_standin_is_covered_and_says_what_breaks():
    assert set(STANDINS) == set(STATEMENTS) | PARTS


def test_lightnings_base_classes_are_plain_torch():
    names = run_as_mmf("import pytorch_lightning as pl")
    assert names["pl"].LightningModule().state_dict() == {}
    with pytest.raises(RuntimeError, match="use training.trainer=clipbert"):
        names["pl"].Trainer()


def test_imports_inside_functions_are_redirected_too():
    names = run_as_mmf(
        "def load():\n    from transformers.configuration_bert import BertConfig\n    return BertConfig"
    )
    assert names["load"]().model_type == "bert"


def test_adamw_refuses_what_torch_cannot_do():
    adamw = run_as_mmf("from transformers.optimization import AdamW")["AdamW"]
    with pytest.raises(ValueError, match="correct_bias=False is not supported"):
        adamw([__import__("torch").zeros(1, requires_grad=True)], correct_bias=False)
