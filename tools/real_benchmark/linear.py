"""Fits linear maps between frozen features of photos and captions, chosen on the validation photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from clipbert_mmf.scoring.metrics import measure_ranks
from clipbert_mmf.scoring.outcomes import Measured
from clipbert_mmf.scoring.ranking import rank_retrieval
from real_benchmark.features import Features

#: Regularisation that is tried, as a share of the features' mean variance.
STRENGTHS = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)

Projection = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LinearMap:
    """Two linear projections into one space, where a dot product of unit vectors compares.

    Attributes:
        strength: regularisation.
        images: from ``(photos, size)``.
        texts: from ``(captions, size)``.
    """

    strength: float
    images: Projection
    texts: Projection

    def compare(self, images: np.ndarray, texts: np.ndarray) -> torch.Tensor:
        """Return ``(photos, captions)`` cosines."""
        rows, columns = (
            torch.nn.functional.normalize(torch.from_numpy(one).float(), dim=1)
            for one in (self.images(images), self.texts(texts))
        )
        return rows @ columns.T


def measure_similarity(
    similarity: torch.Tensor, photo_of_caption: np.ndarray, photos: np.ndarray
) -> Measured:
    """Return retrieval in both directions, as an evaluation of the package measures it.

    Args:
        similarity: ``(photos, captions)``.
        photo_of_caption: ``(captions,)`` row of each caption's photo.
        photos: ``(photos,)`` keys.
    """
    matches = torch.from_numpy(photo_of_caption)[None] == torch.arange(len(photos))[:, None]
    readable = torch.ones(len(photos), dtype=torch.bool)
    to_image, to_text = rank_retrieval(similarity, matches, readable)
    return measure_ranks(to_image, to_text, matches, readable, photos)


def sum_recalls(numbers: Measured) -> float:
    """Return the sum of the six recalls."""
    return sum(numbers[f"{way}_r{depth}"] for way in ("t2v", "v2t") for depth in (1, 5, 10))


def measure_split(
    found: LinearMap, features: Features, layer: str, split: str, num_photos: int | None = None
) -> Measured:
    """Return the retrieval of a linear map on a split, or on its first photos."""
    photos = features.photos_of(split)[:num_photos]
    captions = np.flatnonzero(np.isin(features.photo_of_caption, photos))
    similarity = found.compare(features.images[layer][photos], features.texts[captions])
    rows = np.searchsorted(photos, features.photo_of_caption[captions])
    return measure_similarity(similarity, rows, features.photos[photos])


def fit_photos_to_captions(
    images: np.ndarray, texts: np.ndarray, photo_of_caption: np.ndarray
) -> Iterator[LinearMap]:
    """Yield ridge regressions of all strengths that predict a caption's features from its photo's.

    Args:
        images: ``(photos, size)`` training photos.
        texts: ``(captions, size)`` training captions.
        photo_of_caption: ``(captions,)`` row of each caption's photo.
    """
    x, y = (_Whitened(one) for one in (images[photo_of_caption], texts))
    across = x.rows.T @ y.rows / len(y.rows)
    for strength in STRENGTHS:
        yield LinearMap(strength, _then(x.center, x.solve(strength, across)), y.center)


def fit_captions_to_photos(
    images: np.ndarray, texts: np.ndarray, photo_of_caption: np.ndarray
) -> Iterator[LinearMap]:
    """Yield ridge regressions that predict a photo's features from its caption's; as ``fit_photos_to_captions``."""
    x, y = (_Whitened(one) for one in (images[photo_of_caption], texts))
    across = y.rows.T @ x.rows / len(y.rows)
    for strength in STRENGTHS:
        yield LinearMap(strength, x.center, _then(y.center, y.solve(strength, across)))


def fit_correlations(
    images: np.ndarray, texts: np.ndarray, photo_of_caption: np.ndarray
) -> Iterator[LinearMap]:
    """Yield regularised canonical correlation analyses; a direction weighs as its correlation.

    The arguments are those of ``fit_photos_to_captions``.
    """
    x, y = (_Whitened(one) for one in (images[photo_of_caption], texts))
    across = x.rows.T @ y.rows / len(y.rows)
    for strength in STRENGTHS:
        left, right = x.whiten(strength), y.whiten(strength)
        u, correlations, vt = np.linalg.svd(left.T @ across @ right, full_matrices=False)
        images_to, texts_to = left @ u * correlations, right @ vt.T * correlations
        yield LinearMap(strength, _then(x.center, images_to), _then(y.center, texts_to))


class _Whitened:
    """Centred rows and the eigenvectors of their covariance."""

    def __init__(self, rows: np.ndarray):
        self.mean = rows.mean(0, dtype=np.float64)
        self.rows = rows.astype(np.float64) - self.mean
        self.values, self.vectors = np.linalg.eigh(self.rows.T @ self.rows / len(rows))
        self.scale = float(self.values.mean())

    def center(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype(np.float64) - self.mean

    def solve(self, strength: float, across: np.ndarray) -> np.ndarray:
        shrunk = self.vectors / (self.values + strength * self.scale)
        return shrunk @ (self.vectors.T @ across)

    def whiten(self, strength: float) -> np.ndarray:
        return self.vectors / np.sqrt(self.values + strength * self.scale)


def _then(first: Projection, matrix: np.ndarray) -> Projection:
    return lambda rows: first(rows) @ matrix


def choose_map(features: Features, layer: str, fit: Callable[..., Iterator[LinearMap]]) -> LinearMap:
    """Return the map that ranks the validation photos and captions best, by the sum of the six recalls."""
    photos, captions = features.photos_of("train"), features.captions_of("train")
    rows = np.searchsorted(photos, features.photo_of_caption[captions])
    fitted = fit(features.images[layer][photos], features.texts[captions], rows)
    return max(fitted, key=lambda found: sum_recalls(measure_split(found, features, layer, "val")))
