"""MMF's models wait until a lookup, an attribute or a list needs them; nothing is missed, and a user keeps a name."""

import json

import pytest

from clipbert_mmf.host.late_modules import LateMapping
from tests.host.test_hook import run

#: Prints what an MMF offers: names in each section of the registry, and those of ``mmf.models``.
LIST = """
import json, mmf, sys
from mmf.utils.env import setup_imports
setup_imports()
from mmf.common.registry import registry
early = sorted(name for name in sys.modules if name.startswith("mmf.models."))
sections = {key: sorted(value) for key, value in registry.mapping.items() if key.endswith("_mapping")}
exec("from mmf.models import *")
print(json.dumps([early, sections, sorted(name for name in mmf.models.__all__ if name in globals())]))
"""
USE = """
import mmf, sys
from mmf.utils.env import setup_imports
setup_imports()
from mmf.common.registry import registry
models = registry.mapping["model_name_mapping"]
assert registry.get_model_class("nothing") is None and "nothing" not in models
assert registry.get_builder_class("nothing") is None
assert "mmf.models.pythia" not in sys.modules

class Mine(mmf.models.BaseModel): pass
registry.register_model("mmbt")(Mine)
assert registry.get_model_class("mmbt") is Mine
assert registry.get_model_class("pythia").__module__ == "mmf.models.pythia"
assert mmf.models.Pythia is registry.get_model_class("pythia") and mmf.models.pythia.Pythia is mmf.models.Pythia
assert mmf.models.mmbt.MMBT is mmf.models.MMBT and hasattr(mmf.modules, "encoders")
assert not hasattr(mmf.models, "nothing")
assert registry.get_model_class("mmbt") is Mine and len([*models]) == len(models) > 15
registry.register_model("pythia")(Mine)
assert models.pop("pythia") is Mine and models.pop("pythia", 1) == 1
print("used")
"""


def test_what_waits_is_in_every_list_as_if_it_had_been_imported():
    early, *late = json.loads(run(LIST))
    everything, *at_once = json.loads(run(LIST, CLIPBERT_MMF_SKIP_SHIMS="import_models_late"))
    assert early == ["mmf.models.base_model"] and len(everything) > 10
    assert late == at_once and "visual_bert" in late[0]["model_name_mapping"] and "Pythia" in late[1]


def test_names_and_attributes_import_what_they_need_and_a_user_keeps_a_name():
    assert run(USE) == "used"


@pytest.mark.parametrize(
    "read", [lambda table: table["b"], lambda table: {**table}["b"], lambda table: dict(table)["b"]]
)
def test_a_section_knows_what_waits_however_it_is_read(read, monkeypatch):
    table = LateMapping(("model",), {"a": 1})
    monkeypatch.setattr(table, "_import", lambda name=None: dict.__setitem__(table, "b", 2))
    assert read(table) == 2
    with pytest.raises(KeyError, match="c"):
        table["c"]
