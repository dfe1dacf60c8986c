"""One video, one question: every head through path, bytes, URL and array; a search and its ranks."""

import json

import numpy as np
import pytest
import torch

from clipbert_mmf.inference.asking import WrongHeadError
from clipbert_mmf.inference.pretrained import ClipBert
from clipbert_mmf.scoring.clips import fold_clips
from clipbert_mmf.video.decoded import DecodedVideo
from clipbert_mmf.video.errors import MediaError
from tests.encoded_media import write_video
from tests.inference.small_run import make_run

TEXTS = ["a red circle", "two dogs near a man with a square", "blue"]


def make_model(folder, tokenizer_dir, head="match", answers=(), **changes):
    make_run(folder, tokenizer_dir, head={"type": head, "num_answers": len(answers) or None}, **changes)
    if answers:
        (folder / "answers_msrvtt_retrieval.json").write_text(
            json.dumps({a: i for i, a in enumerate(answers)})
        )
    return ClipBert.from_pretrained(folder)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    (folder / "deep").mkdir()
    names = ["a.mp4", "b.mp4", "deep/c.mp4"]
    for number, name in enumerate(names):
        write_video(folder / name, 30 + 10 * number, fps=10)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer_dir):
    return make_model(tmp_path_factory.mktemp("match") / "run", tokenizer_dir)


def test_scores_are_those_of_the_evaluation(model, videos):
    scored = model.score(videos / "a.mp4", TEXTS)
    frames = model.preprocessing.read(videos / "a.mp4")
    rows = model.score_frames(frames[None], TEXTS)[0]
    assert scored.scores == pytest.approx((rows[:, 1] - rows[:, 0]).tolist(), abs=1e-5)
    assert scored.probabilities == pytest.approx(rows.softmax(-1)[:, 1].tolist(), abs=1e-5)
    assert [clip.start_sec for clip in scored.clips] == pytest.approx([0.0, 1.0, 2.0], abs=0.05)
    assert len(scored.clips[0].scores) == len(TEXTS) and json.dumps(scored.to_dict())


def test_a_video_may_be_a_path_bytes_a_url_or_frames(model, videos):
    from clipbert_mmf.video.decode import read_frames

    path = videos / "a.mp4"
    expected = model.score(str(path), TEXTS).scores
    assert model.score(path.read_bytes(), TEXTS).scores == expected
    assert model.score(f"file://{path}", TEXTS).scores == expected
    frames = read_frames(path, np.arange(30) / 10).permute(0, 2, 3, 1).contiguous()
    decoded = model.score(DecodedVideo(frames.numpy(), fps=10), TEXTS)
    assert decoded.scores == pytest.approx(expected, abs=1e-4)
    assert model.score(frames, TEXTS).clips[-1].end_sec == pytest.approx(1.0)  # a bare array has 30 fps


@pytest.mark.parametrize(
    "video, error, message",
    [
        ("none.mp4", MediaError, "no file none.mp4"),
        (b"abc", MediaError, "the given bytes"),
        (np.zeros((2, 4, 4), np.uint8), ValueError, r"shape \(1, 2, 4, 4\)"),
        (7, TypeError, "found int; expected a path"),
        ("nowhere://x.mp4", MediaError, "nowhere://x.mp4"),
    ],
)
def test_what_is_no_video_is_named(model, video, error, message):
    with pytest.raises(error, match=message):
        model.score(video, TEXTS)


def test_answers_come_from_the_vocabulary_or_the_given_options(tmp_path, tokenizer_dir, videos):
    model = make_model(tmp_path / "run", tokenizer_dir, "classify", ("red", "green", "blue"))
    answer = model.answer(videos / "a.mp4", "what color is it", top_k=2)
    clips = model.score_encoded(model.encode(videos / "a.mp4").visual, ["what color is it"])
    chances = fold_clips(clips, model.network.fold)[0].softmax(-1)
    best = int(chances.argmax())
    assert answer.answer == model.answers[best] and answer.probability == pytest.approx(
        float(chances[best]), abs=1e-6
    )
    assert len(answer.candidates) == 2 and len(answer.clips) == 3 and len(answer.clips[0].scores) == 2
    chosen = model.answer(videos / "a.mp4", "what color is it", options=["green", "red"])
    assert sum(chance for _, chance in chosen.candidates) == pytest.approx(1.0)
    with pytest.raises(ValueError, match=r"options \['pink'\] are not among the model's 3 answers"):
        model.answer(videos / "a.mp4", "what color is it", options=["pink"])
    with pytest.raises(
        WrongHeadError,
        match="'classify', which can be asked to answer and not to score; heads that can are .*Use clipbert answer",
    ):
        model.score(videos / "a.mp4", TEXTS)


@pytest.mark.parametrize("head", ["choose", "choose_by_match", "match"])
def test_options_are_chosen_as_the_network_does(tmp_path, tokenizer_dir, videos, head):
    model = make_model(tmp_path / "run", tokenizer_dir, head)
    options = ["jumps", "runs near a man", "turns"]
    answer = model.answer(videos / "a.mp4", "what is it", options)
    rows = model.score_frames(
        model.preprocessing.read(videos / "a.mp4")[None], [f"what is it {o}" for o in options]
    )[0]
    row = rows[:, 1] - rows[:, 0] if rows.dim() > 1 else rows
    assert answer.answer == options[int(row.argmax())] and len(answer.clips[0].scores) == 3
    with pytest.raises(ValueError, match="which chooses: give the options"):
        model.answer(videos / "a.mp4", "what is it")


def test_a_question_as_long_as_the_limit_leaves_options_apart(tmp_path, tokenizer_dir, videos):
    model = make_model(tmp_path / "run", tokenizer_dir, "choose")
    for weight in model.network.head.parameters():  # an untrained head's scores lie within rounding
        weight.data.mul_(5000)
    question = "what is the red circle near a blue star " * 20
    answer = model.answer(videos / "a.mp4", question, ["red", "square"])
    assert answer.candidates[0][1] - answer.candidates[1][1] > 1e-3
    texts = model.join_options(question, ["red", "square"])
    assert [text.split()[-1] for text in texts] == ["red", "square"] and texts[0] != texts[1]
    with pytest.raises(ValueError, match="'круг' and 'звезда' are the same tokens"):
        model.answer(videos / "a.mp4", "what", ["круг", "звезда"])


def test_counts_are_whole_numbers(tmp_path, tokenizer_dir, videos):
    model = make_model(tmp_path / "run", tokenizer_dir, "regress")
    answer = model.answer(videos / "a.mp4", "how many moves")
    assert (
        1 <= answer.answer <= 10
        and answer.answer == max(1, round(answer.value))
        and answer.probability is None
    )


def test_a_search_ranks_by_score_and_leaves_out_what_cannot_be_read(model, videos, tmp_path, caplog):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    files = [videos / "a.mp4", broken, videos / "b.mp4", videos / "deep/c.mp4"]
    hits = model.search(TEXTS, files, top_k=2)
    scores = {path: model.score(path, TEXTS[:1]).scores[0] for path in files if path != broken}
    best = sorted(scores, key=scores.get, reverse=True)[:2]
    assert [hit.video for hit in hits[TEXTS[0]]] == [
        str(path) for path in best
    ] and "broken.mp4" in caplog.text
    assert [hit.rank for hit in hits[TEXTS[0]]] == [1, 2] and hits[TEXTS[0]][0].best_clip_sec[0] >= 0
    with pytest.raises(ValueError, match="none of 1 videos can be read"):
        model.search(TEXTS, [broken])


def test_clips_that_are_read_together_have_one_score_and_one_time(tmp_path, tokenizer_dir, videos):
    together = make_model(tmp_path / "run", tokenizer_dir, clip_fusion="concat")
    (clip,) = together.score(videos / "a.mp4", TEXTS).clips
    times = together.encode(videos / "a.mp4").times_sec
    assert len(times) == 3 and (clip.start_sec, clip.end_sec) == (times[0][0], times[-1][1])
    (hit,) = together.search(TEXTS[:1], [videos / "a.mp4"])[TEXTS[0]]
    assert hit.best_clip_sec == (times[0][0], times[-1][1])
    with pytest.raises(ValueError, match=r"reads its clips together \(clip_fusion: concat\)"):
        together.describe_evidence(videos / "a.mp4", TEXTS[0])


def test_a_search_takes_a_folder_and_a_text_that_is_typed_twice(model, videos):
    files = [videos / "a.mp4", videos / "b.mp4", videos / "deep/c.mp4"]
    twice = model.search([TEXTS[0], TEXTS[2], TEXTS[0]], str(videos))
    assert twice == model.search([TEXTS[0], TEXTS[2]], files) and len(twice[TEXTS[0]]) == 3
    with pytest.raises(FileNotFoundError, match="no such folder"):
        model.search(TEXTS, videos / "none")


def test_several_questions_at_once_are_refused(tmp_path, tokenizer_dir, videos):
    model = make_model(tmp_path / "run", tokenizer_dir, "regress")
    with pytest.raises(TypeError, match="question is list; expected one text"):
        model.answer(videos / "a.mp4", ["how many moves", "how many turns"])


def test_a_search_re_ranks_what_embeddings_choose(tmp_path, tokenizer_dir, videos, model):
    contrastive = make_model(tmp_path / "run", tokenizer_dir, contrastive={"weight": 0.1, "size": 8})
    files = [videos / "a.mp4", videos / "b.mp4", videos / "deep/c.mp4"]
    exact = contrastive.search(TEXTS, files, top_k=1)
    assert contrastive.search(TEXTS, files, top_k=1, rerank_top_k=3) == exact
    few = contrastive.search(TEXTS, files, top_k=1, rerank_top_k=1)
    with torch.inference_mode():
        moments = [contrastive.network.embed_moments(contrastive.encode(path).visual[None]) for path in files]
        queries = contrastive.network.embed_texts(*contrastive.encode_texts(TEXTS))
    for number, (text, (hit,)) in enumerate(few.items()):
        # The whole of a video, or its most similar clip.
        found = [float((torch.cat([whole, clips[0]]) @ queries[number]).max()) for whole, clips in moments]
        assert hit.video == str(files[found.index(max(found))])
        assert hit.score == pytest.approx(contrastive.score(hit.video, [text]).scores[0], abs=1e-4)
    with pytest.raises(ValueError, match="rerank_top_k is 1; expected at least top_k, 2"):
        contrastive.search(TEXTS, files, top_k=2, rerank_top_k=1)
    with pytest.raises(ValueError, match="this model has no contrastive head"):
        model.search(TEXTS, files, top_k=1, rerank_top_k=2)
