"""Results as lines for people, or as JSON for programs."""

import argparse
import json

import pytest

from clipbert_mmf.cli.printing import print_result


def test_lines_are_printed_without_json(capsys):
    print_result(argparse.Namespace(json=False), {"a": 1}, ["one", "two"])
    assert capsys.readouterr().out == "one\ntwo\n"


def test_numbers_that_are_not_finite_are_null_in_json(capsys):
    print_result(argparse.Namespace(json=True), {"a": float("nan"), "b": [float("inf"), 1.5]}, ["unused"])
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5]}


def test_json_keeps_letters_of_all_scripts(capsys):
    print_result(argparse.Namespace(json=True), {"text": "Über 漢"}, ["unused"])
    out = capsys.readouterr().out
    assert json.loads(out) == {"text": "Über 漢"} and "漢" in out
