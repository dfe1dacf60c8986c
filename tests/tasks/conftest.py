"""The tokenizer of the tests of the tasks."""

import pytest

from tests.tasks.making import Encoder


@pytest.fixture(scope="session")
def encoder(tokenizer_dir):
    return Encoder(tokenizer_dir)
