"""Score every video against every text.

Shared between processes, kept on disk, or narrowed down by embeddings.
"""
