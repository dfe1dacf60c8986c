"""Sections of configuration become frozen dataclasses, or errors that name the key in full."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from clipbert_mmf.configuration import (
    ArgumentError,
    ConfigurationError,
    InRange,
    OneOf,
    choose,
    parse_config,
    to_plain,
)


@dataclass(frozen=True)
class Inner:
    size: int = 3
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    kind: Literal["mean", "max"] = "mean"
    window: tuple[float, float] | None = None
    sizes: tuple[int, ...] = ()
    heads: dict[str, Inner] = field(default_factory=dict)
    rest: Any = None
    strict: bool = False

    def __post_init__(self):
        if self.inner.size < 1:
            raise ValueError(f"size is {self.inner.size}; expected at least 1")


def parse(**values: Any) -> Outer:
    return parse_config(Outer, {"name": "x", **values}, "model_config.clipbert")


def test_a_section_is_read_with_its_nested_sections():
    parsed = parse(
        inner={"size": 7, "rate": "5e-5"},
        window=[1, 2.5],
        sizes=[1, 2],
        heads={"a": {"size": 2}},
        rest={"k": [1]},
    )
    assert parsed == Outer(
        "x",
        Inner(7, 5e-5),
        window=(1.0, 2.5),
        sizes=(1, 2),
        heads={"a": Inner(2)},
        rest={"k": [1]},
    )


def test_null_and_absent_keys_keep_what_they_mean():
    assert parse(window=None).window is None
    assert parse_config(Inner, None, "x") == Inner()


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"streict": True},
            r"^model_config\.clipbert\.streict is unknown \(did you mean 'strict'\?\); allowed are heads, "
            r"inner",
        ),
        (
            {"inner": {"siez": 1}},
            r"^model_config\.clipbert\.inner\.siez is unknown \(did you mean 'size'\?\)",
        ),
        (
            {"inner": {"size": "seven"}},
            r"^model_config\.clipbert\.inner\.size is 'seven'; expected a whole number$",
        ),
        ({"inner": {"size": True}}, r"inner\.size is True; expected a whole number$"),
        ({"inner": 5}, r"inner is 5; expected a section with keys$"),
        ({"kind": "men"}, r"kind is 'men' \(did you mean 'mean'\?\); allowed are mean, max$"),
        ({"window": [1]}, r"window is \[1\]; expected 2 entries$"),
        ({"window": "all"}, r"window is 'all'; expected a list$"),
        ({"heads": {"a": {"size": 1.5}}}, r"heads\.a\.size is 1\.5; expected a whole number$"),
        ({"strict": "yes"}, r"strict is 'yes'; expected true or false$"),
        ({"inner": {"size": 0}}, r"^model_config\.clipbert: size is 0; expected at least 1$"),
        ({"name": None}, r"name is None; expected text$"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_key(values, message):
    with pytest.raises(ConfigurationError, match=message):
        parse(**values)


def test_a_missing_key_is_named():
    with pytest.raises(ConfigurationError, match=r"^dataset lacks name; set dataset\.name$"):
        parse_config(Outer, {}, "dataset")


def test_a_choice_names_the_nearest_entry():
    assert choose("fold", "lse", {"lse": 1}) == 1
    with pytest.raises(
        ConfigurationError, match=r"^fold is 'lsee' \(did you mean 'lse'\?\); allowed are lse, mean$"
    ):
        choose("fold", "lsee", {"lse": 1, "mean": 2})


def test_containers_of_omegaconf_are_read_as_plain_values():
    from omegaconf import OmegaConf

    config = OmegaConf.create({"name": "x", "sizes": [1, 2], "inner": {"rate": 1}})
    assert parse_config(Outer, config, "x") == Outer("x", Inner(rate=1.0), sizes=(1, 2))
    assert to_plain(config) == {"name": "x", "sizes": [1, 2], "inner": {"rate": 1}}


TABLE = {"lse": 1}


@dataclass(frozen=True)
class Checked:
    fold: Annotated[str, OneOf(TABLE)] = "lse"
    size: Annotated[int, InRange(at_least=1, at_most=5)] = 1
    rate: Annotated[float, InRange(above=0)] | None = None


@dataclass(frozen=True)
class Keyed:
    kind: str = ""

    @classmethod
    def from_section(cls, values: Any, where: str) -> Keyed:
        return cls(f"{where}={values['kind']}")


@dataclass(frozen=True)
class Holder:
    keyed: Keyed = field(default_factory=Keyed)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"fold": "sum"}, r"^x\.fold is 'sum'; allowed are lse$"),
        ({"size": 0}, r"^x\.size is 0; expected at least 1 and at most 5$"),
        ({"size": "one"}, r"^x\.size is 'one'; expected a whole number$"),
        ({"rate": 0}, r"^x\.rate is 0\.0; expected more than 0$"),
    ],
)
def test_a_field_says_which_of_its_values_are_allowed(values, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_config(Checked, values, "x")


def test_a_name_that_is_registered_later_is_allowed(monkeypatch):
    monkeypatch.setitem(TABLE, "median", 2)
    assert parse_config(Checked, {"fold": "median", "size": 5, "rate": None}, "x").fold == "median"


def test_a_section_may_parse_itself():
    assert parse_config(Holder, {"keyed": {"kind": "a"}}, "x") == Holder(Keyed("x.keyed=a"))


def test_an_argument_that_is_refused_is_named_as_its_caller_names_it():
    error = ArgumentError("{top_k} is 0; expected at least 1, or leave {where} out")
    assert str(error) == "top_k is 0; expected at least 1, or leave where out"
    assert error.describe({"top_k": "--top"}) == "--top is 0; expected at least 1, or leave where out"
