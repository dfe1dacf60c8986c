"""Marks of tokens and texts cannot be mistaken for a token, an answer or a row."""

import torch
import torch.nn.functional as F

from clipbert_mmf.shapes import ANSWER_TYPES, IGNORED_TOKEN, PADDING_TEXT, UNKNOWN_ANSWER, TokenBatch


def test_the_label_of_an_unpredicted_token_is_left_out_by_pytorchs_loss():
    labels = torch.tensor([2, IGNORED_TOKEN])
    scores = torch.randn(2, 4)
    torch.testing.assert_close(F.cross_entropy(scores, labels), F.cross_entropy(scores[:1], labels[:1]))


def test_marks_are_no_index():
    assert UNKNOWN_ANSWER < 0 and PADDING_TEXT < 0 and IGNORED_TOKEN < 0


def test_every_class_of_questions_has_one_name():
    assert len(set(ANSWER_TYPES)) == len(ANSWER_TYPES)


def test_a_token_batch_names_the_fields_of_a_batch():
    assert TokenBatch._fields == ("input_ids", "input_mask", "segment_ids")
