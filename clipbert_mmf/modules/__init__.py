"""Modules of the network, in the order of the data flow.

Backbone, temporal fusion, embedding, cross-encoder, heads.
"""
