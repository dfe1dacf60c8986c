"""One measurable part of the project per file: each has ``add_arguments`` and ``run``."""
