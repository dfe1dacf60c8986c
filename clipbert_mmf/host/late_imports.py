"""Lets modules import at the first call what they import at start and a run seldom calls.

scikit-learn, SciPy and pandas take a tenth of the start of ``mmf_run``, for functions of MMF's metrics and of other
datasets and models, and of text generation and losses of transformers, that no run of ours calls. Only the modules
that are listed see stand-ins: ``sys.modules`` and the libraries stay as they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

_ASSIGNMENT = {"scipy.optimize": frozenset({"linear_sum_assignment"})}
_PANDAS = {"pandas": frozenset[str]()}
#: Module -> the module that it imports late -> functions of that; none stands for the module itself. Any other import
#: happens at once.
LATE_IMPORTS: dict[str, dict[str, frozenset[str]]] = {
    "mmf.datasets.builders.charades._utils": _PANDAS,
    "mmf.datasets.builders.retrieval.datasets": _PANDAS,
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
        if not fromlist and not late[name]:
            return _LateModule(name)
        if fromlist and late[name].issuperset(fromlist):
            module = ModuleType(name)
            vars(module).update({function: _make_late_function(name, function) for function in fromlist})
            return module
        return plain_import(name, globals, locals, fromlist, level)

    return import_late


class _LateModule(ModuleType):
    """Stands for a module, which is imported with the first name that it is asked for."""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self.__name__), attribute)


def _make_late_function(module: str, name: str) -> Callable[..., Any]:
    def call_late(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    call_late.__name__ = call_late.__qualname__ = name
    call_late.__module__ = module
    return call_late
