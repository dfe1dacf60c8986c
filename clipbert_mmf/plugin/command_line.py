"""Reads the options of MMF's command line: any key, values as YAML has them, and nothing is ignored.

``host.shims.config`` puts these functions in the place of MMF's own, which ignore an option for a whole section
or for a list's entry and add no key that a configuration file leaves out.
"""

from __future__ import annotations

import ast
import dataclasses
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from mmf.common.registry import registry
from omegaconf import DictConfig, ListConfig, OmegaConf

from clipbert_mmf.configuration import ConfigurationError, suggest, to_plain
from clipbert_mmf.inference.settings import read_yaml
from clipbert_mmf.inference.sources import RUN_CONFIG
from clipbert_mmf.plugin.known_keys import find_known_keys, is_open_section

logger = logging.getLogger(__name__)

_WORDS = {"null": None, "true": True, "false": False, "None": None}
#: Keys that MMF reads of the command line before it has a configuration.
_EARLY = ("config", "model", "dataset", "datasets")
#: Names of run types and of options, for a word that stands alone.
_RUN_TYPES = ("train", "val", "test", "inference", "train_val", "train_test", "train_val_test")
#: Sections of arguments, in which null leaves one out: another type does not take what a recipe sets.
_ARGUMENTS = ("optimizer.params", "scheduler.params")
_TOKEN = re.compile(r"(?P<name>[^.\[\]]+)|\[(?P<place>-?\d+)\]")
#: Key of a list -> the key that a plain text in it stands for.
_SHORT_FORMS = {"annotations": "file", "losses": "type", "metrics": "type"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a command line.

    Attributes:
        text: as typed, for messages.
        key: dotted key; entries of lists as ``[0]``.
        value: decoded.
    """

    text: str
    key: str
    value: Any

    @property
    def path(self) -> list[str | int]:
        """The steps from the configuration to the value."""
        return [int(m["place"]) if m["place"] else m["name"] for m in _TOKEN.finditer(self.key)]


# ---- what is typed


def parse_options(arguments: Sequence[Any] | None) -> list[Option]:
    """Return the options of a command line.

    Args:
        arguments: ``key=value`` each; MMF also takes keys and values in turn.

    Raises:
        ConfigurationError: for a word without ``=``, spaces around it, or a key that is none; quotes it and
            says what to type.
    """
    arguments = list(arguments or ())
    takes_turns = arguments and not any(isinstance(word, str) and "=" in word for word in arguments)
    if takes_turns and len(arguments) % 2 == 0:
        pairs = zip(arguments[::2], arguments[1::2], strict=True)
        options = [_make_option(f"{key} {value}", key, value) for key, value in pairs]
    else:
        options = [_split(str(word), place, arguments) for place, word in enumerate(arguments)]
    return options


def warn_of_repeats(options: Sequence[Option]) -> None:
    """Log the options that are given twice with different values; the last one is used, as everywhere."""
    by_key: dict[str, Option] = {}
    for option in options:
        other = by_key.get(option.key)
        if other is not None and other.value != option.value:
            logger.warning("'%s' and '%s' set one key; the last is used", other.text, option.text)
        by_key[option.key] = option


def _split(word: str, place: int, arguments: Sequence[Any]) -> Option:
    key, sign, value = word.partition("=")
    if word.startswith("-"):
        raise ConfigurationError(
            f"'{word}' is no option of a run: options are key=value; what begins with '-' stands before the "
            "first of them"
        )
    if not sign:
        raise ConfigurationError(
            f"'{word}' is no option: options are key=value{_guess(word, place, arguments)}"
        )
    if not key.strip() or (not value and _follows_alone(place, arguments)):
        before = "" if key.strip() or not place else str(arguments[place - 1])
        after = value or (str(arguments[place + 1]) if place + 1 < len(arguments) else "")
        raise ConfigurationError(
            f"'{word}' has a space beside '='; an option is one word without spaces: "
            f"{before or key.strip() or 'key'}={after}"
        )
    if not value:
        raise ConfigurationError(
            f"'{word}' has no value; write {key}=null for none, or {key}=\"''\" for no text"
        )
    return _make_option(word, key, value)


def _follows_alone(place: int, arguments: Sequence[Any]) -> bool:
    return place + 1 < len(arguments) and "=" not in str(arguments[place + 1])


def _guess(word: str, place: int, arguments: Sequence[Any]) -> str:
    """Return what to type in place of a word that stands alone."""
    following = [str(entry) for entry in arguments[place + 1 : place + 3]]
    if following and following[0].startswith("="):
        return f" without spaces; write {word}={following[0][1:] or ''.join(following[1:])}"
    if place and str(arguments[place - 1]).endswith("="):
        return f" without spaces; write {arguments[place - 1]}{word}"
    for key, names in (
        ("run_type", _RUN_TYPES),
        ("dataset", registry.mapping["builder_name_mapping"]),
        ("model", registry.mapping["model_name_mapping"]),
    ):
        if word in names:
            return f" (did you mean '{key}={word}'?)"
    if word.endswith((".yaml", ".yml")):
        return f" (did you mean 'config={word}'?)"
    return suggest(word, [*_EARLY, *find_known_keys("")]) or ""


def _make_option(text: str, key: Any, value: Any) -> Option:
    key = "datasets" if key == "dataset" else str(key)
    option = Option(text, key, decode_value(value, text) if isinstance(value, str) else value)
    rebuilt = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in option.path)
    if rebuilt.removeprefix(".") != key or key != key.strip() or isinstance(option.path[0], int):
        raise ConfigurationError(
            f"'{text}': '{key}' is no key; keys are names joined by dots, entries of lists are numbers in "
            "brackets, as in evaluation.metrics[0]"
        )
    if key == "datasets" and isinstance(option.value, list):
        return dataclasses.replace(option, value=",".join(map(str, option.value)))
    return option


class _Loader(yaml.SafeLoader):
    """YAML in which ``1e-3`` is a number, and ``on``, ``off``, ``yes`` and ``no`` are words."""


_Loader.yaml_implicit_resolvers = {
    letter: [
        (tag, form)
        for tag, form in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^None$"), ["N"])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def decode_value(text: str, option: str) -> Any:
    """Return what a text stands for: a word of YAML, a number, a list, a section in braces, or itself.

    Args:
        text: right of the ``=``.
        option: the whole option, for messages.

    Raises:
        ConfigurationError: for a list or a section that is not closed.
    """
    if text in _WORDS:
        return _WORDS[text]
    if not text.startswith(("[", "{")):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return text
        return value if isinstance(value, (str, int, float, bool, tuple)) else text
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        try:
            return to_plain(ast.literal_eval(text))  # Python's own way to write a list
        except (ValueError, SyntaxError, TypeError):
            problem = getattr(error, "problem", None) or str(error)
            raise ConfigurationError(
                f"'{option}' cannot be read: {problem}; a list is [a, b], a section {{key: value, other: value}}, "
                "in quotes of the shell"
            ) from error


# ---- where it goes


def select_early_options(arguments: Sequence[Any] | None) -> DictConfig:
    """Return the options that MMF reads before it has a configuration; None for those that are not given.

    Model and datasets may be left out where ``config`` is the ``config.yaml`` of a run.

    Raises:
        ConfigurationError: if the command line names no model or no dataset, with the word that was meant.
    """
    options = parse_options(arguments)
    warn_of_repeats(options)
    given = {option.key: option.value for option in options}
    given = {**_read_run_names(given.get("config")), **given}
    names = {key.partition(".")[0].partition("[")[0] for key in given}
    for name, keys in (("model", ("model",)), ("dataset", ("datasets",))):
        if not any(given.get(key) for key in keys):
            unknown = [word for word in sorted(names) if word not in {*_EARLY, *find_known_keys("")}]
            near = [word for word in unknown if suggest(word, [name, *keys])]
            hint = f"; '{near[0]}=...' is unknown (did you mean '{name}'?)" if near else ""
            raise ConfigurationError(f"the command line has no {name}=...{hint}")
    early = {key: given.get(key) for key in _EARLY}
    user_dir = given.get("env.user_dir") or (given.get("env") or {}).get("user_dir")
    return OmegaConf.create({**early, **({"env": {"user_dir": user_dir}} if user_dir else {})})


def _read_run_names(file: Any) -> dict[str, str]:
    """Return model and datasets of the ``config.yaml`` that a run saved; nothing of any other file."""
    path = Path(str(file or "")).expanduser()
    if path.name != RUN_CONFIG or not path.is_file():
        return {}
    saved = read_yaml(path)
    return {key: saved[key] for key in ("model", "datasets") if isinstance(saved.get(key), str)}


def set_options(
    config: DictConfig,
    arguments: Sequence[Any] | None,
    skip_missing: bool = False,
    tell: Callable[[str], None] | None = None,
) -> DictConfig:
    """Set the options of a command line in a configuration, which is changed.

    A section in braces is merged into what is there, a list replaces it. Keys that some module reads are
    added where no file has them.

    Args:
        config: MMF's configuration.
        arguments: the command line.
        skip_missing: leave out options whose key is not there: MMF sets some before it has read every file.
        tell: called with a sentence for each option.

    Raises:
        ConfigurationError: for a key that nothing reads or that cannot be reached, and for what
            ``parse_options`` refuses.
    """
    for option in parse_options(arguments):
        if _set(config, option, skip_missing) and tell is not None:
            tell(f"Overriding option {option.key} to {option.value}")
    return config


def _set(config: DictConfig, option: Option, skip_missing: bool) -> bool:
    node: Any = config
    path = option.path
    where = ""
    for number, step in enumerate(path):
        is_last = number == len(path) - 1
        if isinstance(step, int):
            if skip_missing and step >= len(node):
                return False
            _require_entry(node, step, where, option)
        elif step not in node:
            if skip_missing:
                return False
            _require_known(node, step, where, option)
        full = f"{where}[{step}]" if isinstance(step, int) else f"{where}.{step}".removeprefix(".")
        if is_last:
            _assign(node, step, option, full)
            return True
        node = _enter(node, step, path[number + 1], full, option)
        where = full
    return False


def _assign(node: Any, step: Any, option: Option, full: str) -> None:
    value = option.value
    if isinstance(node, ListConfig) and step == len(node):
        node.append(value)
        return
    current = node[step] if isinstance(node, ListConfig) or step in node else None
    if isinstance(value, Mapping) and isinstance(current, DictConfig):
        for key in value:
            if key not in current:
                _require_known(current, str(key), full, option)
        current.merge_with(OmegaConf.create(dict(value)))
        for key in [key for key in value if value[key] is None and full in _ARGUMENTS]:
            current.pop(key)
    elif value is None and full.rpartition(".")[0] in _ARGUMENTS:
        if step in node:
            node.pop(step)
    elif isinstance(current, DictConfig) and not isinstance(value, Mapping) and not is_open_section(full):
        inner = next(iter(current), "key")
        raise ConfigurationError(
            f"'{option.text}': {full} is a section with keys; set one of them, {full}.{inner}=..., or several, "
            f"{full}='{{{inner}: ...}}'"
        )
    else:
        node[step] = value


def _enter(node: Any, step: Any, following: str | int, full: str, option: Option) -> Any:
    """Return the section or list at a step; made where there is none, or where a text stands for one."""
    current = node[step] if isinstance(node, ListConfig) or step in node else None
    if current is None:
        node[step] = [] if isinstance(following, int) else {}
    elif isinstance(following, int) and isinstance(current, (str, DictConfig)):
        node[step] = [current]  # one entry may stand for a list of one
    elif isinstance(following, str) and isinstance(current, str):
        short = next((_SHORT_FORMS[name] for name in reversed(option.path) if name in _SHORT_FORMS), None)
        if short is None:
            raise ConfigurationError(f"'{option.text}': {full} is '{current}', not a section with keys")
        node[step] = {short: current}
    elif isinstance(following, str) and isinstance(current, ListConfig):
        raise ConfigurationError(
            f"'{option.text}': {full} is a list; name the entry, as in {full}[0].{following}"
        )
    elif not isinstance(current, (DictConfig, ListConfig)):
        raise ConfigurationError(f"'{option.text}': {full} is {current!r}, not a section with keys")
    return node[step]


def _require_entry(node: Any, place: int, where: str, option: Option) -> None:
    if not isinstance(node, ListConfig):
        raise ConfigurationError(f"'{option.text}': {where} is no list")
    if not -len(node) <= place <= len(node):
        raise ConfigurationError(
            f"'{option.text}': {where} has {len(node)} entries, numbered from 0; give the whole list, {where}='[...]'"
        )


def _require_known(node: Any, name: str, where: str, option: Option) -> None:
    if isinstance(node, ListConfig):
        raise ConfigurationError(
            f"'{option.text}': {where} is a list; name the entry, as in {where}[0].{name}"
        )
    if is_open_section(where):
        return
    known = find_known_keys(where)
    if name in known:
        return
    allowed = sorted(
        {str(key) for key in node} | known | ({"dataset", "model", "config"} if not where else set())
    )
    raise ConfigurationError(
        f"'{option.text}': {f'{where}.{name}'.removeprefix('.')} is unknown{suggest(name, allowed)}; allowed are "
        f"{', '.join(allowed)}"
    )
