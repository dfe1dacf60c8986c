"""Everything a user's package calls is there, and importing it does not need MMF."""

import subprocess
import sys

from clipbert_mmf import extending


def test_every_name_is_there():
    assert all(hasattr(extending, name) for name in extending.__all__)


def test_mmf_is_not_imported():
    program = (
        "import sys, clipbert_mmf.extending; sys.exit('mmf' in sys.modules or 'omegaconf' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0
