"""Compatibility patches for MMF, one function each; ``table`` lists them all.

A shim gets a module of MMF that has just run. Its docstring says what breaks without it, with which library
versions, and when it can be removed.
"""
