"""Reaching LanceDB: from any thread, also where a loop runs."""

import asyncio
import multiprocessing

import pytest

from clipbert_mmf.library.lance import wait_for


async def double(number):
    await asyncio.sleep(0)
    return 2 * number


def test_an_awaitable_is_waited_for_also_inside_a_running_loop_and_after_a_fork():
    async def notebook():
        return wait_for(double(4))

    assert wait_for(double(3)) == 6 and asyncio.run(notebook()) == 8
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(wait_for_double, (5,)).get(timeout=20) == 10


def wait_for_double(number):
    return wait_for(double(number))


def test_an_error_comes_out_as_it_is():
    async def fail():
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        wait_for(fail())
