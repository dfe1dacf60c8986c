"""The letters every shape comment uses, and the small records that travel between packages.

=====  =======================================================================
B      videos (or images) in a batch
N      texts per video: 1 + negatives, the options, or the captions/questions
P      pairs, ``P = B * N``; pair ``p = b * N + n``
K      clips per video
T      frames per clip
C H W  channels and size of a frame in pixels
L      text tokens
V      visual tokens
D      hidden size of the transformer
A      answers (columns of a score row)
=====  =======================================================================
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

#: Label of a token that is not predicted by masked language modelling.
IGNORED_TOKEN = -100
#: Target of a question whose answer is not in the vocabulary: never right, never trained on.
UNKNOWN_ANSWER = -1
#: Classes of questions that accuracy is told for: MSRVTT-QA's, TGIF-QA FrameQA's, VQA's, ActivityNet-QA's. A
#: class without a name is -1.
ANSWER_TYPES = (
    "what",
    "who",
    "how",
    "when",
    "where",
    "object",
    "number",
    "color",
    "location",
    "yes/no",
    "other",
    "motion",
    "spatial",
    "temporal",
)
#: Index of a text that only fills a batch up to N; metrics drop it.
PADDING_TEXT = -1


class TokenBatch(NamedTuple):
    """N texts as WordPiece ids, padded to one length.

    Attributes:
        input_ids: ``(N, L)`` int64.
        input_mask: ``(N, L)`` int64, 1 on tokens and 0 on padding.
        segment_ids: ``(N, L)`` int64, all 0: ClipBERT has one text segment.
    """

    input_ids: Tensor
    input_mask: Tensor
    segment_ids: Tensor
