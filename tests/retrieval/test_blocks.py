"""Blocks of pairs: nothing lost, nothing twice, nothing cut inside a chunk, and nobody idle."""

import pytest

from clipbert_mmf.retrieval.blocks import Block, cut_blocks, list_missing, share_blocks


def loads(shares, video_cost):
    """Pairs of each share, with what its videos cost."""
    return [sum(block.num_pairs for block in share) + video_cost * len(share) for share in shares]


@pytest.mark.parametrize(
    "num_videos, num_texts, num_shares, chunk, video_cost",
    [
        (50, 50, 3, 8, 8),
        (2, 1000, 8, 4, 8),
        (7, 7, 2, 4, 0),
        (1, 50, 2, 64, 8),
        (1000, 1000, 8, 4, 8),
        (3, 10, 4, 3, 50),
    ],
)
def test_shares_cover_all_pairs_once_and_are_even(num_videos, num_texts, num_shares, chunk, video_cost):
    blocks = [Block(video, 0, num_texts) for video in range(num_videos)]
    shares = share_blocks(blocks, num_shares, chunk, video_cost)
    assert len(shares) == num_shares
    pairs = [
        (block.video, text) for share in shares for block in share for text in range(block.start, block.stop)
    ]
    assert pairs == [(video, text) for video in range(num_videos) for text in range(num_texts)]
    assert all(block.start % chunk == 0 for share in shares for block in share)
    found = loads(shares, video_cost)
    even = sum(loads([blocks], video_cost)) / num_shares
    # Each process may open one video more than it would alone, and cannot cut a chunk.
    assert max(found) <= even + video_cost + chunk


def test_fewer_videos_than_processes_leave_none_idle():
    shares = share_blocks([Block(0, 0, 1000), Block(1, 0, 1000)], 8, 4)
    assert min(loads(shares, 0)) > 0.9 * max(loads(shares, 0))


def test_videos_that_divide_are_not_cut():
    shares = share_blocks([Block(video, 0, 100) for video in range(8)], 4, 4)
    assert [[block.video for block in share] for share in shares] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_more_processes_than_chunks_get_nothing():
    assert share_blocks([Block(0, 0, 5)], 4, 3) == [[Block(0, 0, 3)], [Block(0, 3, 5)], [], []]
    assert share_blocks([], 2, 3) == [[], []]


def test_unequal_rows_are_shared_by_their_pairs():
    blocks = [Block(0, 0, 100), *(Block(video, 0, 4) for video in range(1, 26))]
    first, second = loads(share_blocks(blocks, 2, 4, 1), 1)
    assert abs(first - second) <= 6


def test_parts_of_a_block_end_where_chunks_do():
    assert list(cut_blocks([Block(3, 4, 21)], 4, 9)) == [Block(3, 4, 12), Block(3, 12, 20), Block(3, 20, 21)]
    assert list(cut_blocks([Block(3, 0, 5)], 4, 1)) == [Block(3, 0, 4), Block(3, 4, 5)]


def test_missing_pairs_are_found_by_chunk():
    known = [True] * 4 + [True, False, True, True] + [False] * 3 + [True] + [True] * 2
    assert list(list_missing(5, known, 4)) == [Block(5, 4, 12)]
    assert (
        list(list_missing(5, [False] * 6, 4)) == [Block(5, 0, 6)]
        and list(list_missing(5, [True] * 6, 4)) == []
    )
