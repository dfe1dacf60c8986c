"""MMF processors: thin adapters that read configuration and call ``video`` and ``transforms``."""
