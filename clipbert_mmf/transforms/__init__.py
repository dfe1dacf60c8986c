"""Turns frames and texts into tensors of one size."""
