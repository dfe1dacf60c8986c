"""A dataset of one's own: how its annotation file is read, and one row that says what it is.

mmf_run config=examples/own_dataset/configs/train.yaml model=clipbert dataset=cooking_steps
env.user_dir=examples/own_dataset
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipbert_mmf.extending import (
    AnnotationFormat,
    DatasetSpec,
    TextRecord,
    register_dataset,
    register_format,
)


def parse_steps(source, entries) -> Iterator[TextRecord]:
    """Yield a caption per line of ``{"clip": "pan_01", "step": "a cook heats oil", "number": 3}``.

    ``entries`` yields each line's place, for errors, and its object; a JSON array or a table comes the same
    way.
    """
    for _, entry in entries:
        yield TextRecord(
            media_key=entry["clip"], text=entry["step"], text_id=f"{entry['clip']}-{entry['number']}"
        )


register_format("cooking", AnnotationFormat("lines", ("clip", "step", "number"), parse_steps))
register_dataset(
    DatasetSpec(
        "cooking_steps",
        corpus="cooking",
        task="retrieval",
        media="video",
        config=str(Path(__file__).parent / "configs" / "dataset.yaml"),
    )
)
