"""Published figures of Flickr8k before CLIP: the official 1,000 test photos and their 5,000 captions."""

from __future__ import annotations

#: The list that the figures without another source are read from.
LIST = "performance list of the Cross-modal Retrieval Tutorial (Paranioar, GitHub)"
#: System, source, text to image R@1, 5, 10, image to text R@1, 5, 10; None where no figure is given.
_ROWS: tuple[tuple[str, str, tuple[float | None, ...]], ...] = (
    ("DVSA, R-CNN regions", "Karpathy and Fei-Fei 2015", (11.8, 32.1, 44.7, 16.5, 40.6, 54.2)),
    ("NIC, GoogLeNet", "Vinyals et al. 2015", (19.0, None, 64.0, 20.0, None, 61.0)),
    ("m-CNN, VGG, ensemble", "Ma et al. 2015", (20.3, 47.6, 61.7, 24.8, 53.7, 67.1)),
    ("Fisher vectors, VGG", "Klein et al. 2015", (21.2, 50.0, 64.8, 31.0, 59.3, 73.7)),
    ("HM-LSTM, R-CNN regions", "Niu et al. 2017", (24.4, None, 68.1, 27.7, None, 68.6)),
    ("2WayNet, VGG", "Eisenschtat and Wolf 2017", (29.3, 49.7, None, 43.4, 63.2, None)),
    ("NAA, ResNet", "2018", (27.7, 59.6, 71.8, 37.2, 68.1, 79.1)),
    ("SCAN, regions of a detector, ensemble", "Lee et al. 2018", (38.3, 67.8, 78.9, 52.2, 81.0, 89.2)),
    ("IMRAM, regions of a detector", "Chen et al. 2020", (41.0, 69.2, 79.9, 54.7, 84.2, 91.0)),
)
_NAMES = tuple(f"{way}_r{depth}" for way in ("t2v", "v2t") for depth in (1, 5, 10))


def list_published() -> list[dict[str, object]]:
    """Return the rows as plain values: ``system``, ``source`` and ``numbers``, shares by name."""
    return [
        {
            "system": system,
            "source": source,
            "numbers": {
                name: value / 100 for name, value in zip(_NAMES, values, strict=True) if value is not None
            },
        }
        for system, source, values in _ROWS
    ]
