"""Frames and texts to tensors of one size."""
