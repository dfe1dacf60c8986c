"""The generator of the demo corpus: a seeded world, its pictures and videos, and annotations in their owners' formats."""
