"""Run long work one piece at a time in a thread of its own, and keep its progress for those who ask."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)

#: Jobs that may wait or run at a time.
MAX_WAITING = 8
#: Finished jobs whose results are kept.
MAX_KEPT = 32


class TooBusyError(RuntimeError):
    """Raised where too much is waiting already."""


@dataclass
class Job:
    """A piece of work.

    Attributes:
        job_id: id by which the page asks for it.
        note: the current step, for people.
        done: parts that are done.
        total: number of parts; 0 where there are none to count.
        result: result of the work, once it ended well.
        error: message for the user where it failed.
        is_finished: whether a result or an error is there.
        seconds: duration of the work.
    """

    job_id: str
    note: str = "waiting"
    done: int = 0
    total: int = 0
    result: Any = None
    error: str = ""
    is_finished: bool = False
    seconds: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    def say(self, note: str) -> None:
        """Set the current step."""
        self.note, self.done, self.total = note, 0, 0

    def report_progress(self, done: int, total: int) -> None:
        """Set how many parts are done, and how many there are."""
        self.done, self.total = done, total

    def count(self, items: Sequence) -> Iterator:
        """Yield items and count them."""
        self.done, self.total = 0, len(items)
        for item in items:
            yield item
            self.done += 1


class JobRunner:
    """Runs jobs in the order they came; a model is asked one thing at a time.

    Args:
        expected: errors whose message is for the user; others are logged and called a fault of the program.
    """

    def __init__(self, expected: tuple[type[BaseException], ...]):
        self.expected = expected
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="clipbert-demo")

    def submit(self, work: Callable[[Job], Any]) -> Job:
        """Queue work.

        Args:
            work: function that gets its job, to report progress.

        Raises:
            TooBusyError: if too much is waiting.
        """
        job = Job(secrets.token_urlsafe(9))
        with self._lock:
            waiting = sum(not known.is_finished for known in self._jobs.values())
            if waiting >= MAX_WAITING:
                raise TooBusyError(f"{waiting} questions are waiting already; try again in a moment")
            self._jobs[job.job_id] = job
            for old in [known for known in self._jobs.values() if known.is_finished][:-MAX_KEPT]:
                del self._jobs[old.job_id]
        self._worker.submit(self._run, job, work)
        return job

    def find(self, job_id: str) -> Job | None:
        """Return a job by its id, or None where it is not known any more."""
        with self._lock:
            return self._jobs.get(job_id)

    def _run(self, job: Job, work: Callable[[Job], Any]) -> None:
        try:
            job.result = work(job)
        except self.expected as error:
            job.error = str(error)
        except Exception:
            logger.exception("a question of the page failed")
            job.error = "something went wrong here; the terminal that runs the page has the details"
        finally:
            job.seconds = time.monotonic() - job._started
            job.is_finished = True

    def close(self) -> None:
        """Let the running job end and drop those that wait."""
        self._worker.shutdown(wait=True, cancel_futures=True)


def count_in(job: Job) -> Callable[[Iterable], Iterable]:
    """Return the ``progress`` argument of ``ClipBert.search`` that counts into a job."""
    return lambda videos: job.count(list(videos))
