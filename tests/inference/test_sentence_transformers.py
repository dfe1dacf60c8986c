"""A model is a real CrossEncoder: its predict, rank and evaluators give what our own search gives."""

import numpy as np
import pytest
import torch

from clipbert_mmf.inference import sentence_transformers as adapter
from tests.inference.small_run import load_sharp, make_run, read_test_captions, same_state


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer_dir):
    folder = tmp_path_factory.mktemp("pairs") / "run"
    make_run(folder, tokenizer_dir)
    return load_sharp(folder)


@pytest.fixture(scope="module")
def captions(corpus):
    """Caption and video of each test video of the demo corpus."""
    return [(text, file) for file, text in read_test_captions(corpus).values()]


@pytest.mark.skipif(adapter._CrossEncoder is not object, reason="sentence-transformers is installed")
def test_without_the_package_the_error_says_what_to_type(model):
    with pytest.raises(ImportError, match=r"a CrossEncoder needs sentence-transformers: pip install"):
        adapter.ClipBertCrossEncoder(model)


class TestWithThePackage:
    @pytest.fixture(scope="class")
    def encoder(self, model):
        pytest.importorskip("sentence_transformers")
        return adapter.ClipBertCrossEncoder(model)

    def test_predict_gives_the_scores_of_the_model(self, encoder, model, captions):
        from sentence_transformers import CrossEncoder

        assert isinstance(encoder, CrossEncoder)
        texts, videos = [text for text, _ in captions], [video for _, video in captions]
        wanted = np.array([model.score(video, texts).scores for video in videos[:3]])
        found = encoder.predict([(text, video) for video in videos[:3] for text in texts])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.reshape(3, -1), wanted, rtol=1e-4, atol=1e-5)
        one = encoder.predict((texts[0], videos[0]), activation_fn=torch.nn.Sigmoid())
        assert one.shape == () and one == pytest.approx(1 / (1 + np.exp(-wanted[0, 0])), rel=1e-4)
        assert encoder.predict([(texts[0], videos[0])], convert_to_tensor=True).shape == (1,)
        assert isinstance(encoder.predict([(texts[0], videos[0])], convert_to_numpy=False), list)

    def test_rank_is_the_search_and_ranks_texts_too(self, encoder, model, captions):
        text, videos = captions[0][0], [video for _, video in captions]
        hits = model.search([text], videos, top_k=3)[text]
        ranked = encoder.rank(text, videos, top_k=3, return_documents=True)
        assert [row["text"] for row in ranked] == [hit.video for hit in hits]
        assert [row["score"] for row in ranked] == pytest.approx([hit.score for hit in hits], rel=1e-4)
        texts = [text for text, _ in captions]
        order = np.argsort([-score for score in model.score(videos[0], texts).scores])
        assert [row["corpus_id"] for row in encoder.rank(videos[0], texts)] == order.tolist()

    def test_an_evaluator_of_the_package_measures_what_our_ranks_say(
        self, encoder, model, captions, tmp_path
    ):
        from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

        videos = [video for _, video in captions]
        samples = [
            {"query": text, "positive": [video], "negative": [other for other in videos if other != video]}
            for text, video in captions
        ]
        evaluate = CrossEncoderRerankingEvaluator(samples, at_k=len(videos), name="demo", write_csv=False)
        found = evaluate(encoder)
        hits = model.search([text for text, _ in captions], videos, top_k=len(videos))
        ranks = [next(hit.rank for hit in hits[text] if hit.video == video) for text, video in captions]
        assert found[f"demo_mrr@{len(videos)}"] == pytest.approx(np.mean([1 / rank for rank in ranks]))

    def test_it_is_saved_as_a_clipbert_and_refuses_what_it_cannot_do(
        self, encoder, model, captions, tmp_path
    ):
        encoder.save_pretrained(str(tmp_path / "saved"))
        again = adapter.ClipBertCrossEncoder(tmp_path / "saved")
        assert same_state(again.clipbert.network, model.network)
        with pytest.raises(ValueError, match="trained without instructions"):
            encoder.predict([captions[0]], prompt="find: ")
        with pytest.raises(ValueError, match="give one device"):
            encoder.predict([captions[0]], device=["cpu", "cpu"])
        with pytest.raises(ValueError, match="are both texts"):
            encoder.predict([("a dog", "a cat")])
