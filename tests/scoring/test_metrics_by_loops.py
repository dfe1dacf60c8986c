"""Metrics against loops over plain numbers, written from the definition alone, in random cases."""

import random
import statistics

import pytest
import torch

from clipbert_mmf.scoring.metrics import measure_answers, measure_retrieval, measure_soft_answers
from clipbert_mmf.shapes import PADDING_TEXT, UNKNOWN_ANSWER

CASES = 150


def rank_of(right, wrong):
    """Rank of the best right candidate; a wrong one of the same score stands before it."""
    return 1 + sum(score >= max(right) for score in wrong)


def tell(ranks, direction):
    numbers = {f"{direction}_r{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)}
    numbers[f"{direction}_mean_rank"] = sum(ranks) / len(ranks)
    numbers[f"{direction}_median_rank"] = statistics.median(ranks)
    return numbers


@pytest.mark.parametrize("seed", range(CASES))
def test_retrieval(seed):
    draw = random.Random(seed)
    videos, texts = draw.randint(2, 14), draw.randint(14, 40)
    owner = list(range(videos)) + [draw.randrange(videos) for _ in range(texts - videos)]
    draw.shuffle(owner)
    can_read = [draw.random() > 0.15 for _ in range(videos)]
    # Few levels, so that many candidates tie.
    margin = [[draw.randint(-3, 3) / 2 for _ in range(texts)] for _ in range(videos)]
    seen = [[value if can_read[row] else float("-inf") for value in line] for row, line in enumerate(margin)]
    to_video = [
        rank_of([seen[owner[text]][text]], [seen[row][text] for row in range(videos) if row != owner[text]])
        for text in range(texts)
    ]
    to_text = [
        rank_of(
            [seen[row][text] for text in range(texts) if owner[text] == row],
            [seen[row][text] for text in range(texts) if owner[text] != row],
        )
        for row in range(videos)
    ]
    # Items in any order, some read twice, as samplers of several processes do.
    order = list(range(videos)) + [draw.randrange(videos) for _ in range(draw.randint(0, 3))]
    draw.shuffle(order)
    logits = torch.tensor([[[0.3, 0.3 + value] for value in margin[row]] for row in order])
    found = measure_retrieval(
        scores=logits.flatten(0, 1),
        targets=torch.tensor([[int(owner[text] == row) for text in range(texts)] for row in order]),
        item_index=torch.tensor(order),
        readable=torch.tensor([int(can_read[row]) for row in order]),
    )
    expected = {**tell(to_video, "t2v"), **tell(to_text, "v2t"), "num_unreadable": can_read.count(False)}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("seed", range(CASES))
def test_answers(seed):
    draw = random.Random(seed)
    items, per_item, answers = draw.randint(1, 9), draw.randint(1, 4), draw.randint(2, 6)
    can_read = [draw.random() > 0.2 for _ in range(items)]
    logits = [[[draw.gauss(0, 1) for _ in range(answers)] for _ in range(per_item)] for _ in range(items)]
    right = [[draw.choice([UNKNOWN_ANSWER, *range(answers)]) for _ in range(per_item)] for _ in range(items)]
    fills = [[place > 0 and draw.random() < 0.3 for place in range(per_item)] for _ in range(items)]
    soft = [
        [[draw.choice([0.0, 0.3, 0.6, 1.0]) for _ in range(answers)] for _ in range(per_item)]
        for _ in range(items)
    ]
    index = [
        [PADDING_TEXT if fills[item][place] else item * per_item + place for place in range(per_item)]
        for item in range(items)
    ]
    hits, shares, unknown = [], [], 0
    for item in range(items):
        for place in range(per_item):
            if fills[item][place]:
                continue
            best = max(range(answers), key=logits[item][place].__getitem__)
            hits.append(float(can_read[item] and best == right[item][place]))
            shares.append(soft[item][place][best] if can_read[item] else 0.0)
            unknown += right[item][place] == UNKNOWN_ANSWER
    batch = {
        "scores": torch.tensor(logits).flatten(0, 1),
        "item_index": torch.arange(items),
        "readable": torch.tensor([int(value) for value in can_read]),
        "text_index": torch.tensor(index),
    }
    hard = measure_answers(targets=torch.tensor(right), **batch)
    assert hard["accuracy"] == pytest.approx(sum(hits) / len(hits), abs=2e-6)
    assert hard["num_unknown"] == unknown and hard["num_texts"] == len(hits)
    official = measure_soft_answers(targets=torch.tensor(soft), **batch)
    assert official["accuracy"] == pytest.approx(sum(shares) / len(shares), abs=2e-6)
