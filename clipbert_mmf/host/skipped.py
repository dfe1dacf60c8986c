"""Reads which compatibility patches to leave out; the tests prove with it that each one is needed."""

import os

#: Environment variable that names shims and stand-ins, comma separated.
SKIP = "CLIPBERT_MMF_SKIP_SHIMS"


def read_skipped_names() -> set[str]:
    """Return the names that ``CLIPBERT_MMF_SKIP_SHIMS`` lists."""
    return set(filter(None, os.environ.get(SKIP, "").split(",")))
