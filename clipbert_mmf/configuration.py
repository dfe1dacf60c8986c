"""Turns a section of configuration into a frozen dataclass, once, at the edge; deeper code takes arguments.

Unknown keys, wrong types and values out of range become one ``ConfigurationError`` that names the key in
full, the value, what is allowed and the nearest name. Nothing here knows OmegaConf: its containers are
mappings and sequences.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union

T = TypeVar("T")


class ConfigurationError(ValueError):
    """A key or a value of a configuration that cannot be used."""


class ArgumentError(ValueError):
    """An argument of a call that cannot be used; a command line tells it with the names of its own options.

    Args:
        message: with the arguments' names in braces: ``{top_k} is 0; expected at least 1``.
    """

    def __init__(self, message: str):
        self.message = message
        super().__init__(self.describe({}))

    def describe(self, options: Mapping[str, str]) -> str:
        """Return the message with the arguments named as in ``options``; one that is not there keeps its name."""
        return re.sub(r"\{(\w+)\}", lambda found: options.get(found[1], found[1]), self.message)


@dataclasses.dataclass(frozen=True, eq=False)
class OneOf:
    """Allow the keys of a table: ``fold: Annotated[str, OneOf(FOLDS)]``.

    The table is looked up when a value is parsed, so names that a user registers are allowed too.

    Attributes:
        table: its keys are allowed.
        hint: what to type where the name is meant to be there; ends the message.
    """

    table: Mapping[str, Any]
    hint: str = ""

    def check(self, where: str, value: Any) -> None:
        """Raise ``ConfigurationError`` if the table has no such key."""
        choose(where, value, self.table, self.hint)


@dataclasses.dataclass(frozen=True, eq=False)
class InRange:
    """Allow numbers in a range: ``size: Annotated[int, InRange(at_least=1)]``.

    Attributes:
        at_least: smallest number allowed; None for no limit.
        at_most: largest number allowed; None for no limit.
        above: a number that is too small; None for no limit.
    """

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None

    def check(self, where: str, value: Any) -> None:
        """Raise ``ConfigurationError`` if the number is out of range."""
        limits = [
            (self.at_least, f"at least {self.at_least}", lambda limit: value >= limit),
            (self.above, f"more than {self.above}", lambda limit: value > limit),
            (self.at_most, f"at most {self.at_most}", lambda limit: value <= limit),
        ]
        given = [(limit, words, fits) for limit, words, fits in limits if limit is not None]
        if not all(fits(limit) for limit, _, fits in given):
            expected = " and ".join(words for _, words, _ in given)
            raise ConfigurationError(f"{where} is {value!r}; expected {expected}")


def to_plain(value: Any) -> Any:
    """Return a value with every mapping in it as a dict and every sequence but text as a list."""
    if isinstance(value, Mapping):
        return {key: to_plain(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [to_plain(entry) for entry in value]
    return value


def suggest(name: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` with the nearest allowed name, or an empty string where none is near."""
    near = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def refuse_unknown_keys(where: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise ``ConfigurationError`` for the first key that is not allowed.

    Args:
        where: dotted key of the section, such as ``model_config.clipbert``; empty for the whole.
        given: its keys.
        allowed: the keys that something reads.

    Raises:
        ConfigurationError: names the key in full, the nearest name and all that are allowed.
    """
    allowed = sorted(allowed)
    for key in given:
        if key not in allowed:
            raise ConfigurationError(
                f"{where}{'.' if where else ''}{key} is unknown{suggest(key, allowed)}; allowed are "
                f"{', '.join(allowed)}"
            )


#: Hint for names that a user's package registers.
REGISTERED = (
    ". If a package of yours registers it, name its folder with --user-dir, env.user_dir or MMF_USER_DIR, "
    "or import it first"
)


def choose(where: str, value: Any, table: Mapping[str, T], hint: str = "") -> T:
    """Return ``table[value]``.

    Args:
        where: dotted key, for messages.
        value: a key of the table.
        table: keys that are allowed, and their values.
        hint: ends the message.

    Raises:
        ConfigurationError: if there is no such entry; names the key, the value, the nearest name and what is
            allowed.
    """
    if value not in table:
        raise ConfigurationError(
            f"{where} is {value!r}{suggest(value, table)}; allowed are {', '.join(sorted(table))}{hint}"
        )
    return table[value]


def parse_config(cls: type[T], values: Mapping[str, Any] | None, where: str) -> T:
    """Build a frozen dataclass from a section of configuration.

    A field's annotation decides what is accepted: numbers, ``str``, ``bool``, ``Literal``, unions with
    ``None``, ``tuple[X, ...]``, ``tuple[X, X]``, ``list[X]``, ``dict[str, X]``, ``Any``, nested dataclasses,
    and any of them as ``Annotated[X, OneOf(...)]`` or ``Annotated[X, InRange(...)]``. A whole number is
    accepted for a ``float``, and so is a text that spells a number (YAML reads ``5e-5`` as text). A nested
    dataclass whose keys depend on a value has a class method ``from_section(values, where)`` that parses it.
    A ``ValueError`` of the dataclass's ``__post_init__`` is raised with ``where`` before it.

    Args:
        cls: a dataclass.
        values: the section; None counts as an empty one.
        where: dotted key of the section, for messages.

    Returns:
        An instance of ``cls``; keys that are absent keep their defaults.

    Raises:
        ConfigurationError: for an unknown or a missing key, a value of another type, or one out of range.
    """
    if values is not None and not isinstance(values, Mapping):
        raise ConfigurationError(f"{where} is {values!r}; expected a section with keys")
    given = {} if values is None else {key: values[key] for key in values}
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls)) if field.init}
    refuse_unknown_keys(where, given, fields)
    hints = typing.get_type_hints(cls, include_extras=True)
    missing = [
        name
        for name, field in fields.items()
        if name not in given
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigurationError(f"{where} lacks {', '.join(missing)}; set {where}.{missing[0]}")
    parsed = {key: parse_value(hints[key], value, f"{where}.{key}") for key, value in given.items()}
    try:
        return cls(**parsed)
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def parse_value(kind: Any, value: Any, where: str) -> Any:
    """Return a value as ``kind`` wants it; see ``parse_config``.

    Raises:
        ConfigurationError: if it is of another type.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return to_plain(value)
    if origin is Annotated:
        parsed = parse_value(arguments[0], value, where)
        for check in arguments[1:]:
            if isinstance(check, (OneOf, InRange)):
                check.check(where, parsed)
        return parsed
    if origin in (Union, types.UnionType):
        return _parse_union(arguments, value, where)
    if origin is Literal:
        if value in arguments:
            return value
        names = ", ".join(map(str, arguments))
        raise ConfigurationError(
            f"{where} is {value!r}{suggest(value, map(str, arguments))}; allowed are {names}"
        )
    if hasattr(kind, "from_section"):
        return kind.from_section(value, where)
    if dataclasses.is_dataclass(kind):
        return parse_config(typing.cast(Any, kind), value, where)
    if origin in (dict, Mapping) or kind is dict:
        return _parse_mapping(arguments, value, where)
    if origin in (tuple, list) or kind in (tuple, list):
        return _parse_sequence(origin or kind, arguments, value, where)
    return _parse_scalar(kind, value, where)


def _parse_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    for number, kind in enumerate(kinds):
        try:
            return parse_value(kind, value, where)
        except ConfigurationError:
            if number == len(kinds) - 1:
                raise
    raise ConfigurationError(f"{where} is {value!r}; no kind of value is allowed")


def _parse_mapping(arguments: tuple[Any, ...], value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where} is {value!r}; expected a section with keys")
    kind = arguments[1] if arguments else Any
    return {str(key): parse_value(kind, value[key], f"{where}.{key}") for key in value}


def _parse_sequence(container: type, arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise ConfigurationError(f"{where} is {value!r}; expected a list")
    is_fixed = container is tuple and bool(arguments) and arguments[-1] is not Ellipsis
    if is_fixed and len(value) != len(arguments):
        raise ConfigurationError(f"{where} is {to_plain(value)}; expected {len(arguments)} entries")
    kinds = arguments if is_fixed else (arguments[:1] or (Any,)) * len(value)
    return container(
        parse_value(kind, entry, f"{where}[{number}]")
        for number, (kind, entry) in enumerate(zip(kinds, value, strict=True))
    )


_SCALARS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}


def _parse_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        expected = _SCALARS.get(kind, getattr(kind, "__name__", str(kind)))
        raise ConfigurationError(f"{where} is {value!r}; expected {expected}")
    return value
