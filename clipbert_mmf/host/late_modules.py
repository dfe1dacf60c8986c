"""Lets MMF's models wait until they are asked for: by a name of MMF's registry, by an attribute, or by an import.

``setup_imports`` imports every model of MMF, and with them transformers' BERT, torchvision and ``torch._dynamo``:
half of the start of ``mmf_run``. A module that waits is imported as soon as a lookup in a registry can need it, so
that every name is found, and every list is complete.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from clipbert_mmf.host.skipped import read_skipped_names

#: The shim that starts this; where it is left out, nothing waits.
SHIM = "import_models_late"
_PACKAGES = ("mmf.models.", "mmf.datasets.builders.charades.")
_MODULES = frozenset(
    f"mmf.modules.{name}" for name in ("bottleneck", "embeddings", "encoders", "hf_layers", "vit")
)
_AT_ONCE = frozenset({"mmf.models.base_model"})
_REGISTRATION = re.compile(r"\bregister_(\w+)\(\s*[\"']([^\"']+)[\"']")
#: Section of MMF's registry -> what its decorators are called after ``register_``, where that is not its own name.
_DECORATORS = {"pool": ("pooler",), "builder": ("builder", "datamodule")}

#: Dotted names of modules that wait, in the order of MMF.
_waiting: dict[str, None] = {}
#: Of those that run now; entries of others stay as they are.
_running: list[str] = []


def is_late(module: str) -> bool:
    """Return whether a module of MMF may wait."""
    may_wait = module not in _AT_ONCE and (module.startswith(_PACKAGES) or module in _MODULES)
    return may_wait and SHIM not in read_skipped_names()


def import_or_wait(module: str, package: str | None = None) -> ModuleType | None:
    """Import a module as ``importlib.import_module`` does, or let it wait and return None."""
    if not is_late(module) or module in sys.modules:
        return importlib.import_module(module, package)
    _waiting[module] = None
    return None


def make_waiting_names(module: str, names: Iterable[str]) -> SimpleNamespace:
    """Return an object with names of a module that waits, for ``from module import names``."""
    import_or_wait(module)
    return SimpleNamespace(**dict.fromkeys(names, _WaitingName(module)))


class _WaitingName:
    """Stands in a package for a name of a module that waits, until the package has run."""

    def __init__(self, module: str):
        self.module = module


def find_waiting_names(package: ModuleType) -> None:
    """Let a package of MMF import modules and names that wait when it is asked for them."""
    names = {name: value.module for name, value in vars(package).items() if isinstance(value, _WaitingName)}
    for name in names:
        delattr(package, name)

    def find_waiting(name: str) -> Any:
        module = f"{package.__name__}.{name}"
        if name in names:
            value = getattr(importlib.import_module(names[name]), name)
        elif import_waiting(other for other in [*_waiting] if f"{other}.".startswith(f"{module}.")):
            value = sys.modules[module]
        else:
            raise AttributeError(f"module '{package.__name__}' has no attribute '{name}'")
        setattr(package, name, value)
        return value

    vars(package)["__getattr__"] = find_waiting


def import_waiting(modules: Iterable[str]) -> bool:
    """Import modules that wait; return whether there was one."""
    found = [module for module in modules if module in _waiting]
    for module in found:
        importlib.import_module(module)
        _waiting.pop(module, None)
    return bool(found)


@contextmanager
def run_late_module(module: str) -> Generator[None, None, None]:
    """Mark a module as one that runs later than MMF meant it: what was registered since keeps its names."""
    _running.append(module)
    try:
        yield
        _waiting.pop(module, None)
    finally:
        _running.remove(module)


@functools.cache
def _read_registrations(module: str) -> frozenset[tuple[str, str]]:
    """Return kind and name of everything that a module registers."""
    # Not ``find_spec``, which imports the package around it.
    place = Path(sys.modules["mmf"].__path__[0]).joinpath(*module.split(".")[1:])
    file = next(path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())
    return frozenset(_REGISTRATION.findall(file.read_text(encoding="utf-8")))


class LateMapping(dict[str, Any]):
    """A section of MMF's registry, which imports the modules that register what it is asked for.

    Args:
        kinds: names of its decorators, after ``register_``.
        present: its entries so far.
    """

    def __init__(self, kinds: tuple[str, ...], present: Mapping[str, Any]):
        super().__init__(present)
        self._kinds = kinds

    def _import(self, name: str | None = None) -> None:
        import_waiting(
            module
            for module in [*_waiting]
            if any(
                kind in self._kinds and name in (None, other) for kind, other in _read_registrations(module)
            )
        )

    def __setitem__(self, name: str, value: Any) -> None:
        present = super().get(name)
        if (
            _running
            and present is not None
            and not str(getattr(present, "__module__", "")).startswith("mmf.")
        ):
            return
        super().__setitem__(name, value)

    def __contains__(self, name: object) -> bool:
        if not super().__contains__(name):
            self._import(str(name))
        return super().__contains__(name)

    def __missing__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an entry, or ``default``."""
        return super().get(name, default) if name in self else default

    def pop(self, name: str, *default: Any) -> Any:
        """Remove an entry and return it, or ``default``."""
        self._import(name)
        return super().pop(name, *default)

    def __iter__(self) -> Iterator[str]:
        self._import()
        return super().__iter__()

    def __len__(self) -> int:
        self._import()
        return super().__len__()

    def keys(self) -> Any:
        """Return all names."""
        self._import()
        return super().keys()

    def values(self) -> Any:
        """Return all entries."""
        self._import()
        return super().values()

    def items(self) -> Any:
        """Return all names and entries."""
        self._import()
        return super().items()


def make_sections_late(mapping: dict[str, Any]) -> None:
    """Replace the sections of MMF's registry, beside its state, by those that import what they are asked for."""
    for key, section in mapping.items():
        if key.endswith("_mapping"):
            kind = key.removesuffix("_mapping").removesuffix("_name")
            mapping[key] = LateMapping(_DECORATORS.get(kind, (kind,)), section)


def delay_submodules(plain_import: Callable[..., Any], package: str) -> Callable[..., Any]:
    """Return an ``__import__`` for a package of MMF, whose relative imports of modules that may wait do."""

    def import_later(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        module = f"{package}.{name}"
        if level == 1 and fromlist and is_late(module) and module not in sys.modules:
            return make_waiting_names(module, fromlist)
        return plain_import(name, globals, locals, fromlist, level)

    return import_later
