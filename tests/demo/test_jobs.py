"""Jobs run in their order, tell their progress, and end in a result or a sentence."""

import threading

import pytest

from clipbert_mmf.demo.jobs import MAX_WAITING, Job, JobRunner, TooBusyError, count_in


def test_jobs_run_one_at_a_time_and_a_fault_is_no_traceback():
    runner, gate = JobRunner((ValueError,)), threading.Event()
    jobs = [runner.submit(lambda job: gate.wait(20))]
    jobs += [runner.submit(lambda job: len(list(job.count([1, 2, 3])))) for _ in range(MAX_WAITING - 1)]
    with pytest.raises(TooBusyError, match="8 questions are waiting already"):
        runner.submit(lambda job: None)
    assert not jobs[1].is_finished
    gate.set()

    def fail(error):
        raise error

    def wait_for(job):
        done = threading.Event()
        for _ in range(200):
            if job.is_finished or done.wait(0.05):
                break
        return job

    wait_for(jobs[-1])
    known, unknown = (
        wait_for(runner.submit(lambda job, e=error: fail(e)))
        for error in (ValueError("bad text"), KeyError("x"))
    )
    assert (jobs[1].result, jobs[1].done, known.error) == (3, 3, "bad text")
    assert "went wrong" in unknown.error and "KeyError" not in unknown.error and runner.find("other") is None
    runner.close()


def test_progress_is_counted_into_the_job():
    job = Job("x")
    assert list(count_in(job)(iter("abc"))) == ["a", "b", "c"] and (job.done, job.total) == (3, 3)
    job.report_progress(2, 7)
    assert (job.done, job.total) == (2, 7)
    job.say("reading")
    assert (job.note, job.done, job.total) == ("reading", 0, 0)
