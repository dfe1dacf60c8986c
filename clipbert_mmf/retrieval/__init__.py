"""Every video against every text: shared out evenly, kept on disk, or narrowed down by embeddings first."""
