"""The generator of the demo corpus.

A seeded world, its pictures and videos, and annotations in their owners' formats.
"""
