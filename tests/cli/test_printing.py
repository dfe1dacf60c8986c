"""A result is lines, or JSON that keeps every letter."""

from argparse import Namespace

from clipbert_mmf.cli.printing import print_result


def test_json_or_lines(capsys):
    print_result(Namespace(json=True), {"text": "grün"}, ["a"])
    assert capsys.readouterr().out == '{\n  "text": "grün"\n}\n'
    print_result(Namespace(json=False), {"text": "grün"}, ["a", "b"])
    assert capsys.readouterr().out == "a\nb\n"
