"""A trained model in MTEB's retrieval and reranking tasks between texts and videos, or texts and images.

Optional: ``pip install mteb datasets``. Media are read by our own decoders with the model's own sampling.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from clipbert_mmf.extras import import_extra
from clipbert_mmf.inference.asking import clean_texts, require_ability, score_matches
from clipbert_mmf.inference.model_identity import hash_model
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.video.errors import MediaError

logger = logging.getLogger(__name__)

#: Query -> document -> score, as MTEB wants it.
Results = dict[str, dict[str, float]]


class ClipBertSearch:
    """Ranks documents by the cross-encoder; MTEB's ``SearchProtocol``.

    All pairs of a retrieval task are scored, and in a reranking task those that it names. A medium that cannot
    be read is told and counts as a miss: a document is found for no query, a query finds nothing.

    Args:
        model: a trained model, or what ``ClipBert.from_pretrained`` takes.
        name: ``owner/name`` under which MTEB keeps results; its revision is the model's hash.
        **options: further arguments of ``ClipBert.from_pretrained``.

    Attributes:
        mteb_model_meta: what MTEB writes beside results.
        unreadable: ids of the media of the last search that could not be read, and why.

    Raises:
        ImportError: if mteb is not installed.
        WrongHeadError: if the head cannot score.
    """

    def __init__(self, model: ClipBert | str | Path, name: str | None = None, **options: Any):
        self._mteb = import_extra("mteb", "mteb", "MTEB's tasks need mteb")
        self.model = model if isinstance(model, ClipBert) else ClipBert.from_pretrained(model, **options)
        require_ability(self.model, "score")
        self.unreadable: dict[str, str] = {}
        self._corpus: Any = None
        meta = import_extra("mteb.models.model_meta", "mteb", "MTEB's tasks need mteb").ModelMeta
        self.mteb_model_meta = meta.create_empty(
            {
                "name": name or f"clipbert_mmf/{self.model.recipe.dataset or 'model'}",
                "revision": hash_model(self.model)[:16],
                "modalities": ["text", self.model.preprocessing.media],
                "model_type": ["cross-encoder"],
                "framework": ["PyTorch"],
                "n_parameters": sum(value.numel() for value in self.model.network.parameters()),
                "max_tokens": self.model.preprocessing.max_text_tokens,
                "use_instructions": False,
            }
        )

    def index(self, corpus: Any, *, task_metadata: Any, **kwargs: Any) -> None:
        """Keep the documents of a task for its searches.

        Raises:
            ValueError: if the task is not between texts and the model's kind of medium.
        """
        _find_video_side(task_metadata, self.model.preprocessing.media)
        self._corpus = corpus

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        top_k: int,
        encode_kwargs: Mapping[str, Any] | None = None,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> Results:
        """Score documents for each query.

        Args:
            queries: data set with ``id`` and ``text`` or the medium.
            task_metadata: the task's.
            top_k: documents that are returned for a query of a retrieval task.
            encode_kwargs: ``show_progress_bar`` counts the videos.
            top_ranked: documents to score for each query, in a reranking task.
            **kwargs: of MTEB, without effect.

        Returns:
            Query to document to the logit of a match minus the logit of no match.

        Raises:
            ValueError: if nothing was indexed, a text is empty, or the task names a document that it has not.
        """
        if self._corpus is None:
            raise ValueError("no documents are indexed; mteb.evaluate calls index before search")
        media = self.model.preprocessing.media
        queries_are_videos = _find_video_side(task_metadata, media)
        videos, texts = (queries, self._corpus) if queries_are_videos else (self._corpus, queries)
        pairs = _pair(list(queries["id"]), list(self._corpus["id"]), top_ranked)
        # Which texts each video meets.
        rows = pairs if queries_are_videos else pairs.T
        columns = _list_texts(texts)
        scores = np.full(rows.shape, np.nan, np.float32)
        self.unreadable = {}
        bar = tqdm(
            _open_media(videos, media),
            total=len(videos),
            desc="videos",
            disable=not (encode_kwargs or {}).get("show_progress_bar", False),
        )
        for number, (name, source) in enumerate(bar):
            chosen = np.flatnonzero(rows[number])
            if not len(chosen):
                continue
            try:
                encoded = self.model.encode(source)
            except MediaError as error:
                self.unreadable[name] = error.reason
                continue
            found, _ = score_matches(self.model, encoded, [columns[column] for column in chosen])
            scores[number, chosen] = found.numpy()
        if self.unreadable:
            name, reason = next(iter(self.unreadable.items()))
            logger.warning(
                "%s: %d of %d media cannot be read and count as misses; the first is %s: %s",
                task_metadata.name,
                len(self.unreadable),
                len(videos),
                name,
                reason,
            )
        by_query = scores if queries_are_videos else scores.T
        limit = len(self._corpus) if top_ranked is not None else top_k
        return _rank(list(queries["id"]), list(self._corpus["id"]), by_query, limit)


def _find_video_side(task: Any, media: str) -> bool:
    """Return whether the queries are the media; the documents are otherwise."""
    prompts = import_extra("mteb.types", "mteb", "MTEB's tasks need mteb").PromptType
    query, document = (set(task.get_modalities(prompt)) for prompt in (prompts.query, prompts.document))
    sides = query - {"audio"}, document - {"audio"}
    if sides not in (({"text"}, {media}), ({media}, {"text"})):
        raise ValueError(
            f"task {task.name} goes from {' and '.join(sorted(query))} to {' and '.join(sorted(document))}; this "
            f"model scores a text with a {media}"
        )
    if "audio" in query | document:
        logger.warning("%s: the model sees the frames and hears nothing", task.name)
    return media in query


def _pair(
    queries: list[str], documents: list[str], top_ranked: Mapping[str, Sequence[str]] | None
) -> np.ndarray[Any, Any]:
    """Return which documents are scored for each query, ``(queries, documents)`` bool."""
    if top_ranked is None:
        return np.ones((len(queries), len(documents)), dtype=bool)
    places = {name: place for place, name in enumerate(documents)}
    chosen = np.zeros((len(queries), len(documents)), dtype=bool)
    for row, query in enumerate(queries):
        missing = [name for name in top_ranked.get(query, ()) if name not in places]
        if missing:
            raise ValueError(
                f"query {query} is to be ranked with document {missing[0]}, which the task has not"
            )
        chosen[row, [places[name] for name in top_ranked.get(query, ())]] = True
    return chosen


def _list_texts(dataset: Any) -> list[str]:
    titles = dataset["title"] if "title" in dataset.column_names else [""] * len(dataset)
    texts = [f"{title or ''} {text}".strip() for title, text in zip(titles, dataset["text"], strict=True)]
    for name, text in zip(dataset["id"], texts, strict=True):
        if not text:
            raise ValueError(f"the text {name} is empty")
    return clean_texts(texts)


def _open_media(dataset: Any, column: str) -> Iterator[tuple[str, bytes | str]]:
    """Yield the id and the file of each row, not decoded."""
    feature = dataset.features[column]
    if hasattr(feature, "decode"):
        dataset = dataset.cast_column(column, type(feature)(decode=False))
    for row in dataset.select_columns(["id", column]):
        value = row[column]
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        if not isinstance(value, (bytes, str)) or not value:
            raise ValueError(
                f"row {row['id']} of {column}: {type(value).__name__}; expected a file or its bytes"
            )
        yield str(row["id"]), value


def _rank(queries: list[str], documents: list[str], scores: np.ndarray[Any, Any], limit: int) -> Results:
    results: Results = {}
    for query, row in zip(queries, scores, strict=True):
        known = np.flatnonzero(~np.isnan(row))
        best = known[np.argsort(-row[known], kind="stable")][:limit]
        results[query] = {documents[place]: float(row[place]) for place in best}
    return results
