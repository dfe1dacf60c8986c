"""Backbones: modules that turn frames into a grid of features."""
