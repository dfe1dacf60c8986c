"""The exact way says what it costs, and when two stages are recommended."""

from clipbert_mmf.training.retrieval_evaluation import describe_cost


def test_a_small_test_set_is_scored_without_advice():
    assert describe_cost(50, 50, 8) == (
        "every text with every video, 50 x 50 = 2,500 pairs of 8 clips, which grows with the square of the test set"
    )


def test_from_a_thousand_texts_on_two_stages_are_recommended():
    cost = describe_cost(4917, 4917, 20)
    assert "4,917 x 4,917 = 24,176,889 pairs of 20 clips" in cost
    assert "evaluation.rerank_top_k=100 scores at most 983,400, 24.6 times fewer" in cost


def test_two_stages_are_not_recommended_where_they_save_nothing():
    assert "rerank" not in describe_cost(100, 5000, 1)
