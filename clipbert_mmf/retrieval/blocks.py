"""Share the pairs of a score matrix evenly between processes, in blocks of one video and a range of its texts.

A block begins and ends where a chunk of the cross-encoder does, so that the same texts go through it together
for any number of processes, and the scores are the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

#: Cost of reading and encoding a video, in pairs; measured at full size by ``tools/benchmark.py eval``.
VIDEO_COST = 8


@dataclass(frozen=True)
class Block:
    """Texts ``start`` to ``stop`` (exclusive) of a video's list of texts.

    Attributes:
        video: index among the videos.
        start: place in the list, a multiple of the chunk.
        stop: place in the list, a multiple of the chunk or the list's end.
    """

    video: int
    start: int
    stop: int

    @property
    def num_pairs(self) -> int:
        """Return the number of its texts."""
        return self.stop - self.start


def share_blocks(
    blocks: Sequence[Block], num_shares: int, chunk: int, video_cost: int = VIDEO_COST
) -> list[list[Block]]:
    """Cut blocks into shares of neighbours; the largest share is as small as possible.

    Where there are fewer videos than shares, or the numbers do not divide, several shares encode the same
    video and score different texts of it.

    Args:
        blocks: pairs to score, ordered by video.
        num_shares: number of processes.
        chunk: texts that go through the cross-encoder at once; nothing is cut inside one.
        video_cost: cost of a video in a share, in pairs.

    Returns:
        A list of blocks for each share; empty ones where there are fewer chunks than shares.
    """
    total = sum(block.num_pairs + video_cost for block in blocks)
    low, high = -(-total // num_shares), total
    while low < high:  # the smallest capacity that holds all blocks
        middle = (low + high) // 2
        if len(_fill(blocks, middle, chunk, video_cost)) <= num_shares:
            high = middle
        else:
            low = middle + 1
    shares = _fill(blocks, low, chunk, video_cost)
    return shares + [[] for _ in range(num_shares - len(shares))]


def _fill(blocks: Sequence[Block], capacity: int, chunk: int, video_cost: int) -> list[list[Block]]:
    shares: list[list[Block]] = [[]] if blocks else []
    room = capacity
    for block in blocks:
        while block.num_pairs:
            fits = room - video_cost
            taken = block.num_pairs if block.num_pairs <= fits else max(0, fits) // chunk * chunk
            if not taken and not shares[-1]:
                taken = min(chunk, block.num_pairs)  # above the capacity, but a chunk is never cut
            if taken:
                shares[-1].append(replace(block, stop=block.start + taken))
                block = replace(block, start=block.start + taken)
                room -= taken + video_cost
            if block.num_pairs:
                shares.append([])
                room = capacity
    return shares


def cut_blocks(blocks: Sequence[Block], chunk: int, max_pairs: int) -> Iterator[Block]:
    """Yield blocks in parts of at most ``max_pairs`` (at least one chunk), none cut inside a chunk."""
    step = max(1, max_pairs // chunk) * chunk
    for block in blocks:
        for start in range(block.start, block.stop, step):
            yield replace(block, start=start, stop=min(start + step, block.stop))


def list_missing(video: int, known: Sequence[bool], chunk: int) -> Iterator[Block]:
    """Yield the runs of chunks that hold a text without a score.

    Args:
        video: index of the video.
        known: whether the score is there, for each text of the video's list.
        chunk: texts that go through the cross-encoder at once.
    """
    start = None
    for first in range(0, len(known), chunk):
        if all(known[first : first + chunk]):
            if start is not None:
                yield Block(video, start, first)
            start = None
        elif start is None:
            start = first
    if start is not None:
        yield Block(video, start, len(known))
