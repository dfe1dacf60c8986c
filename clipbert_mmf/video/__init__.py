"""Reads videos and images as uint8 RGB frames: stores, sampling, decoding, checks."""
