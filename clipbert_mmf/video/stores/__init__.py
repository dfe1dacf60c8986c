"""Stores of media: folder, LMDB, tar, iopath; building and re-encoding them."""
