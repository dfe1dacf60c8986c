"""Score every video against every text: shared between processes, kept on disk, or narrowed down by embeddings."""
