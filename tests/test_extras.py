"""A package of an extra is imported, or the error says what to type."""

import pytest

from clipbert_mmf.extras import import_extra


def test_what_is_missing_is_named_with_the_command():
    assert import_extra("json", "parquet", "JSON needs itself").dumps([]) == "[]"
    with pytest.raises(ImportError, match=r"a thing needs nothing: pip install no_such_package"):
        import_extra("no_such_package", "thing", "a thing needs nothing")
