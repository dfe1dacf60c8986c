"""The pairs of a score matrix shared out evenly over processes, in blocks of one video and a range of its texts.

A block begins and ends where a chunk of the cross-encoder does, so that however the matrix is cut the same texts go
through it together: the scores are the same bit for bit. Before ``matrix`` computes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

#: What reading and encoding a video costs, in pairs; measured at full size by ``tools/benchmark.py eval``.
VIDEO_COST = 8


@dataclass(frozen=True)
class Block:
    """Texts ``start`` to ``stop`` (exclusive) of a video's list of texts.

    Attributes:
        video: index among the videos.
        start, stop: places in the video's list; both multiples of the chunk, or the list's end.
    """

    video: int
    start: int
    stop: int

    @property
    def num_pairs(self) -> int:
        """Number of its texts."""
        return self.stop - self.start


def share_blocks(
    blocks: Sequence[Block], num_shares: int, chunk: int, video_cost: int = VIDEO_COST
) -> list[list[Block]]:
    """Cut blocks into shares whose largest is as small as it can be while each is a run of neighbours.

    Where there are fewer videos than shares, or the numbers do not divide, several shares encode the same video and score
    other texts of it.

    Args:
        blocks: what is to be scored, by video.
        num_shares: number of processes.
        chunk: texts that go through the cross-encoder at once; nothing is cut inside one.
        video_cost: of a video in a share, in pairs.

    Returns:
        A list for each share; empty ones where there are fewer chunks than shares.
    """
    total = sum(block.num_pairs + video_cost for block in blocks)
    low, high = -(-total // num_shares), total
    while low < high:  # the smallest capacity with which all blocks find room
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
                taken = min(chunk, block.num_pairs)  # more than the capacity, but nobody could take less
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
    """Yield the runs of chunks in which a text's score is not known.

    Args:
        video: index of the video.
        known: for each text of the video's list.
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
