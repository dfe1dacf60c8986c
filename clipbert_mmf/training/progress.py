"""How far a long evaluation is, in pairs: a bar on a terminal, a message now and then in a log file.

Pairs, for a video with all its texts is one step of hours in a large matrix.
"""

from __future__ import annotations

import logging
import time

from tqdm import tqdm

from clipbert_mmf.training.logging import format_seconds

logger = logging.getLogger(__name__)

#: Seconds between two messages.
_MESSAGE_SEC = 10.0


class PairProgress:
    """Counts pairs and tells the time that is left.

    Args:
        what: is evaluated.
        total: pairs of this process; all have about as many.
        enabled: False on all processes but the first.
    """

    def __init__(self, what: str, total: int, enabled: bool):
        self.what, self.total, self.enabled = what, total, enabled
        self.done = 0
        self._begin = self._last = time.monotonic()
        # None: a bar on a terminal only. The mean so far, not the last moments: videos differ, pairs do not.
        self._bar = tqdm(total=total, desc=what, unit="pair", smoothing=0, disable=None if enabled else True)

    def __call__(self, num_pairs: int) -> None:
        """Count pairs that are done."""
        self.done += num_pairs
        self._bar.update(num_pairs)
        now = time.monotonic()
        if self.enabled and now - self._last >= _MESSAGE_SEC:
            logger.info(
                "%s: %d of %d pairs (of this process), %s left",
                self.what,
                self.done,
                self.total,
                format_seconds(self.seconds_left),
            )
            self._last = now

    @property
    def seconds_left(self) -> float:
        """At the mean pace so far."""
        return (time.monotonic() - self._begin) / max(1, self.done) * (self.total - self.done)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
