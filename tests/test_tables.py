"""An open table takes a definition once, also when a module is imported twice."""

import pytest

from clipbert_mmf.tables import add_to_table, is_same_definition


def define():
    def part():
        """Stand for a user's function."""

    return part


def other():
    """Stand for another function."""


def test_the_same_lines_are_the_same_definition():
    assert is_same_definition(define(), define()) and not is_same_definition(define(), other)
    assert is_same_definition(None, None) and not is_same_definition(None, other)


def test_another_definition_of_a_taken_name_is_refused():
    table = {}
    add_to_table(table, "a head", "own", define())
    again = define()
    add_to_table(table, "a head", "own", again)
    assert table["own"] is again
    with pytest.raises(ValueError, match="a head 'own' is registered already"):
        add_to_table(table, "a head", "own", other)
