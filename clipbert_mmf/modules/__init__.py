"""Modules of the network, in the order of the data flow: backbone, temporal fusion, embedding, cross-encoder, heads."""
