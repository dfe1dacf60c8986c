"""MTEB's own evaluation of a local task of the demo corpus gives what our own scores give."""

import numpy as np
import pytest

from clipbert_mmf.inference.mteb import ClipBertSearch
from tests.inference.small_run import load_sharp, make_run, read_test_captions

mteb = pytest.importorskip("mteb")
datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("mteb") / "run"
    make_run(folder, tokenizer_dir)
    return load_sharp(folder)


@pytest.fixture(scope="module")
def captions(corpus):
    """Video file and caption of each test video of the demo corpus, by name."""
    return read_test_captions(corpus)


def make_task(captions, category, candidates=None, modalities=("text", "video")):
    """Return a retrieval task, or a reranking one of the first few candidates, over names to file and caption."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    unknown = ("reference", "date", "domains", "task_subtypes", "license", "annotations_creators", "dialect")
    names = list(captions)

    class DemoCorpus(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="DemoCorpus",
            description="Captions and videos of the demo corpus.",
            dataset={"path": "local", "revision": "1"},
            type="Any2AnyReranking" if candidates else "Any2AnyRetrieval",
            category=category,
            modalities=list(modalities),
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
            **dict.fromkeys([*unknown, "sample_creation", "bibtex_citation"]),
        )

        def load_data(self, **kwargs):
            videos = datasets.Dataset.from_dict({"id": names, "video": [captions[name][0] for name in names]})
            videos = videos.cast_column("video", datasets.Video())
            texts = datasets.Dataset.from_dict({"id": names, "text": [captions[name][1] for name in names]})
            queries, corpus = (texts, videos) if category.startswith("t2") else (videos, texts)
            self.dataset = {
                "default": {
                    "test": {
                        "queries": queries,
                        "corpus": corpus,
                        "relevant_docs": {name: {name: 1} for name in names},
                        "top_ranked": candidates and {name: [name, *names[:candidates]] for name in names},
                    }
                }
            }
            self.data_loaded = True

    return DemoCorpus()


def evaluate(model, task):
    """Return MTEB's scores of a task, and the adapter."""
    search = ClipBertSearch(model)
    result = mteb.evaluate(search, tasks=task, cache=None)
    return result.task_results[0].scores["test"][0], search


def rank_pairs(model, captions):
    """Return ``(videos, texts)`` scores."""
    texts = [text for _, text in captions.values()]
    return np.array([model.score(video, texts).scores for video, _ in captions.values()])


def find_ranks(scores):
    """Return the rank of each row's own column, the better ones before it counted."""
    return 1 + (scores > scores.diagonal()[:, None]).sum(1)


def test_both_directions_of_retrieval_and_reranking(model, captions):
    scores = rank_pairs(model, captions)
    for category, matrix in (("t2v", scores.T), ("v2t", scores)):
        found, _ = evaluate(model, make_task(captions, category))
        ranks = find_ranks(matrix)
        assert found["recall_at_1"] == pytest.approx((ranks == 1).mean(), abs=1e-4)
        assert found["recall_at_5"] == pytest.approx((ranks <= 5).mean(), abs=1e-4)
        assert found["mrr_at_1000"] == pytest.approx((1 / ranks).mean(), abs=1e-4)
    found, _ = evaluate(model, make_task(captions, "t2v", candidates=3))
    own = scores.diagonal()[:, None]
    ranks = 1 + (scores.T[:, :3] > own).sum(1)
    assert found["mrr_at_1000"] == pytest.approx((1 / ranks).mean(), abs=1e-4)


def test_a_video_that_cannot_be_read_is_a_miss_in_both_directions(model, captions, tmp_path, caplog):
    (tmp_path / "broken.mp4").write_bytes(b"nothing of a video")
    first = next(iter(captions))
    broken = {**captions, first: (str(tmp_path / "broken.mp4"), captions[first][1])}
    kept = rank_pairs(model, dict(list(captions.items())[1:]))
    for category, matrix in (("t2v", kept.T), ("v2t", rank_pairs(model, captions)[1:, :])):
        found, search = evaluate(model, make_task(broken, category))
        own = matrix.diagonal() if category == "t2v" else matrix[:, 1:].diagonal()
        ranks = 1 + (matrix > own[:, None]).sum(1)
        assert found["mrr_at_1000"] == pytest.approx((1 / ranks).sum() / len(captions), abs=1e-4)
        assert list(search.unreadable) == [first]
    assert f"1 of {len(captions)} media cannot be read and count as misses" in caplog.text


def test_a_task_of_other_sides_is_refused_and_the_model_is_named_by_its_hash(model, captions):
    with pytest.raises(ValueError, match="this model scores a text with a video"):
        evaluate(model, make_task(captions, "t2vt"))
    search = ClipBertSearch(model, name="me/mine")
    assert isinstance(search, mteb.models.SearchProtocol)
    assert search.mteb_model_meta.name == "me/mine" and len(search.mteb_model_meta.revision) == 16
    with pytest.raises(ValueError, match="no documents are indexed"):
        search.search(None, task_metadata=None, top_k=1)
