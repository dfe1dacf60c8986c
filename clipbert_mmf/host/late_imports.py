"""Lets modules import at the first call what they import at start and a run seldom calls.

scikit-learn, SciPy, pandas, torchvision and transformers take half of the start of ``mmf_run``, for functions of
MMF's metrics, processors and other datasets, and of text generation and losses of transformers, that no run of ours
calls. Only the modules that are listed see stand-ins: ``sys.modules`` and the libraries stay as they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from clipbert_mmf.host.standins import find_standin

_ASSIGNMENT = {"scipy.optimize": frozenset({"linear_sum_assignment"})}
_WHOLE: frozenset[str] = frozenset()
_PANDAS = {"pandas": _WHOLE}
_TRANSFORMS = {"torchvision": frozenset({"transforms"})}
#: Module -> the module that it imports late -> the names that it imports from that, or uses before it calls anything.
#: Any other import happens at once.
LATE_IMPORTS: dict[str, dict[str, frozenset[str]]] = {
    "mmf.datasets.builders.charades._utils": _PANDAS,
    "mmf.datasets.builders.coco.detection_dataset": {"torchvision": _WHOLE},
    "mmf.datasets.builders.hateful_memes.dataset": {
        **_TRANSFORMS,
        "mmf.utils.visualize": frozenset({"visualize_images"}),
    },
    "mmf.datasets.builders.retrieval.datasets": _PANDAS,
    "mmf.datasets.databases.image_database": {
        "torchvision": _WHOLE,
        "torchvision.datasets.folder": frozenset({"default_loader"}),
    },
    "mmf.datasets.processors.bert_processors": {
        "transformers.tokenization_auto": frozenset({"AutoTokenizer"})
    },
    "mmf.datasets.processors.detection_transforms": {
        "torchvision.transforms": _WHOLE,
        "torchvision.transforms.functional": _WHOLE,
    },
    "mmf.datasets.processors.image_processors": {
        **_TRANSFORMS,
        "torchvision.transforms": frozenset({"Compose", "Normalize", "Resize", "ToTensor"}),
    },
    "mmf.datasets.processors.video_processors": _TRANSFORMS,
    "mmf.models.unit.matcher": _ASSIGNMENT,
    "mmf.modules.metrics": {
        "sklearn.metrics": frozenset(
            {
                "average_precision_score",
                "f1_score",
                "precision_recall_curve",
                "precision_recall_fscore_support",
                "roc_auc_score",
            }
        )
    },
    "mmf.modules.schedulers": {
        "transformers.optimization": frozenset(
            {"get_cosine_schedule_with_warmup", "get_linear_schedule_with_warmup"}
        )
    },
    "mmf.utils.box_ops": {"torchvision.ops.boxes": frozenset({"box_area"})},
    "mmf.utils.visualize": {"torchvision": _WHOLE},
    "transformers.generation.candidate_generator": {"sklearn.metrics": frozenset({"roc_curve"})},
    "transformers.loss.loss_deformable_detr": _ASSIGNMENT,
    "transformers.loss.loss_for_object_detection": _ASSIGNMENT,
    "transformers.loss.loss_grounding_dino": _ASSIGNMENT,
    "transformers.loss.loss_rt_detr": _ASSIGNMENT,
}


def delay_imports(plain_import: Callable[..., ModuleType], importer: str) -> Callable[..., ModuleType]:
    """Return an ``__import__`` for a module, of which the imports that ``LATE_IMPORTS`` lists wait.

    Args:
        plain_import: the ``__import__`` for everything else.
        importer: dotted name of the module.
    """
    late = LATE_IMPORTS.get(importer)
    if late is None:
        return plain_import

    def import_late(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level or name not in late:
            return plain_import(name, globals, locals, fromlist, level)
        if not fromlist:
            return _make_late_module(name, late[name])
        if late[name].issuperset(fromlist):
            module = ModuleType(name)
            vars(module).update({attribute: _LateName(name, attribute) for attribute in fromlist})
            return module
        return plain_import(name, globals, locals, fromlist, level)

    return import_late


def _import(name: str) -> ModuleType:
    return find_standin(name) or importlib.import_module(name)


class _LateModule(ModuleType):
    """Stands for a module, which is imported with the first name that it is asked for."""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(_import(self.__name__), attribute)


def _make_late_module(name: str, attributes: frozenset[str]) -> _LateModule:
    """Return what ``import name`` gives: the first of the dotted modules, with the others inside it.

    Args:
        name: dotted name.
        attributes: names of the innermost module for which it is not imported when they are looked up.
    """
    first, _, rest = name.partition(".")
    module = outer = _LateModule(first)
    for part in filter(None, rest.split(".")):
        inner = _LateModule(f"{outer.__name__}.{part}")
        setattr(outer, part, inner)
        outer = inner
    vars(outer).update({attribute: _LateName(name, attribute) for attribute in attributes})
    return module


class _LateName:
    """Stands for a function, class or module of a module, which is imported when it is called or asked for a name."""

    def __init__(self, module: str, name: str):
        self.__name__ = self.__qualname__ = name
        self.__module__ = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(_import(self.__module__), self.__name__)(*args, **kwargs)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(getattr(_import(self.__module__), self.__name__), attribute)
