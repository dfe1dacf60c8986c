"""Reads, builds and re-encodes stores of media: folders, LMDB, tar shards, iopath."""
